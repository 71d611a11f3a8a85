"""Clients that have names and nothing else."""

from typing import Any, cast

from flux_gateway.gateway.messaging.client import Client, Stage
from flux_gateway.gateway.messaging.encodings import WEBSOCKET_JSON


def somebody(client: str, session: str, user: str, *, present: bool = True) -> Client:
    """Return a client that says nothing and is told nothing."""
    one = Client(cast(Any, None), session, WEBSOCKET_JSON, {})
    one.id, one.user = client, user
    one.stage = Stage.CONNECTED if present else Stage.NEW
    return one
