"""What a session can talk to, by the path of its handshake (design, section 9)."""

import asyncio
from typing import Protocol

import msgspec

from flux_gateway.core.frames import TEXT, Buffer
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.http_head import RequestHead
from flux_gateway.core.session import Application, Endpoint, Session
from flux_gateway.gateway.connection import Connection


class Stateful(Protocol):
    """An endpoint whose sessions have a state: it makes what they talk to."""

    max_message: int
    """Largest message from a client, bytes."""

    def subprotocol(self, head: RequestHead) -> str:
        """Return the WebSocket sub-protocol to answer with, or an empty string."""

    def open(self, head: RequestHead, session_id: str) -> Application:
        """Return what a new session talks to."""

    def thaw(self, kept: Frozen) -> Application:
        """Return what a session talks to that has come from another node. Raises `ThawError`."""

    def started(self, connection: Connection) -> None:
        """The session has its connection: what is to be said may be said."""


class Plain(Protocol):
    """A path that is served to plain HTTP: one request a connection."""

    def begin(
        self, transport: asyncio.Transport, head: RequestHead, rest: bytes, *, session_id: str, client: str
    ) -> None:
        """Take over a connection after a request's head; `rest` is what came after it, `client` the peer's address."""

    def close(self) -> None:
        """Cut what is under way; nothing happens the second time."""


def echo(session: Session, opcode: int, payload: Buffer) -> bytes:
    """Answer a message with itself: text as text, binary as binary."""
    return session.frame(opcode, payload)


def whoami(node_id: str) -> Endpoint:
    """Return the endpoint that answers any message with who serves this session."""

    def answer(session: Session, opcode: int, payload: Buffer) -> bytes:
        facts = {
            "node": node_id,
            "session": session.id,
            "moves": session.moves,
            "connected_at": session.connected_at,
        }
        return session.frame(TEXT, msgspec.json.encode(facts))

    return answer


def endpoints(node_id: str) -> dict[str, Endpoint]:
    """Return every path a node serves."""
    return {"/echo": echo, "/whoami": whoami(node_id)}
