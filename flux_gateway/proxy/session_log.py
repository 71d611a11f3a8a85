"""The story of each session in the log, as a proxy sees it. Only with the setting `log_sessions`."""

import logging
import time

from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.opening import Opening
from flux_gateway.proxy.plain import PlainRelay
from flux_gateway.proxy.relay import Relay
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)


class SessionLog:
    """One line when a session opens, one for each move, one when it ends; of a plain HTTP request likewise."""

    def __init__(self) -> None:
        self._opened: dict[Relay, tuple[str, float]] = {}

    def opened(self, opening: Opening, node: Node, relay: Relay) -> None:
        """A node has answered; the refusal of a handshake is passed over."""
        if isinstance(relay, PlainRelay) and not opening.plain:
            return
        self._opened[relay] = (node.id, time.monotonic())
        log.info(
            "request opened" if opening.plain else "session opened",
            extra=fields(session=relay.session_id, client=relay.client_ip, path=opening.path, node=node.id),
        )

    def moved(self, relay: Relay, source: Node, node: Node) -> None:
        """The session goes on at another node."""
        _, since = self._opened.get(relay, ("", time.monotonic()))
        self._opened[relay] = (node.id, since)
        log.info("session moved", extra=fields(session=relay.session_id, source=source.id, node=node.id))

    def ended(self, relay: Relay, cause: str) -> None:
        """The session has left its node, because of `cause`."""
        node_id, since = self._opened.pop(relay, ("", 0.0))
        if not node_id:
            return
        # The cause names who it was; "closed" is a closing handshake, and the node knows by whom.
        seconds = round(time.monotonic() - since, 3)
        log.info(
            "request ended" if isinstance(relay, PlainRelay) else "session ended",
            extra=fields(session=relay.session_id, node=node_id, cause=cause, seconds=seconds),
        )
