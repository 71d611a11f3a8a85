"""The story of each session in the log, as its node sees it. Only with the setting `log_sessions`."""

import logging
import time

from flux_gateway.core.session import Session
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)


def opened(session: Session, node_id: str, client: str, path: str) -> None:
    """Note a session that has opened; `client` is the address it came from, as its proxy told it."""
    log.info("session opened", extra=fields(session=session.id, client=client, path=path, node=node_id))


def attached(session: Session, node_id: str, reason: str) -> None:
    """Note a session that came from another node."""
    log.info("session attached", extra=fields(session=session.id, node=node_id, reason=reason, moves=session.moves))


def released(session: Session, node_id: str) -> None:
    """Note a session that is not here any more, but goes on elsewhere."""
    log.info("session left", extra=fields(session=session.id, node=node_id))


def ended(session: Session, node_id: str) -> None:
    """Note a session that has ended: its close code, who started, and how long it lasted."""
    code, by = session.outcome()
    seconds = round(max(0.0, time.time() - session.connected_at), 3)
    log.info("session ended", extra=fields(session=session.id, node=node_id, code=code, by=by, seconds=seconds))
