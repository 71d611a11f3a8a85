"""A client whose commands come by requests of their own, and who hears the body of one answer that does not end.

To the node it is a connection like any other: it is counted, pinged, drained and closed when it does not read. It only
cannot move: no proxy could go on with the answer of another node.
"""

import asyncio
from collections.abc import Callable

from flux_gateway.core.frames import Buffer
from flux_gateway.core.session import Endpoint, Session, Traffic
from flux_gateway.gateway.connection import Connection, Owner
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.messaging.codes import CloseCode, Disconnect
from flux_gateway.messaging.results import DisconnectPush

_MOST = 256
"""Requests with commands that may wait. Those that came to this node are not answered meanwhile, so a client reaches
this only by way of other nodes, or by not waiting for answers."""


class StreamSession(Session):
    """A session without WebSocket frames. What it inherits keeps only its state: open, closing, and by whom."""

    __slots__ = ("_client",)

    def __init__(
        self, session_id: str, client: Client, *, connected_at: float, max_size: int, traffic: Traffic, path: str
    ) -> None:
        endpoint: Endpoint = client
        super().__init__(
            session_id, endpoint,
            connected_at=connected_at, max_size=max_size, traffic=traffic, path=path, application=client,
        )  # fmt: skip
        self._client = client

    def take(self, commands: Buffer) -> None:
        """Take the commands of one request; nothing happens when the stream is ending."""
        if not self.open:
            return
        client = self._client
        if client.waiting > _MOST:
            client.disconnect(Disconnect(CloseCode.TOO_MANY_REQUESTS))
            return
        self._traffic.messages_in += 1
        self._traffic.bytes_in += len(commands)
        client(self, client.encoding.codec.opcode, commands)

    def close(self, code: int, reason: str) -> bytes:
        """End it; return the last record to write, or nothing if it is ending already."""
        if not super().close(code, reason):
            return b""
        self.ended = True
        said = self._protocol.close_sent
        assert said is not None
        encoding = self._client.encoding
        return encoding.wrap([encoding.codec.push("", DisconnectPush(code=int(said.code), reason=said.reason))])

    @property
    def objection(self) -> str:
        """Why it cannot move."""
        return "plain HTTP"


class StreamConnection(Connection):
    """The connection that carries the answer. Nothing but its end comes from the client."""

    __slots__ = ("_over", "_uncaught", "stream")

    def __init__(
        self, node: Owner, transport: asyncio.Transport, stream: StreamSession, over: Callable[[], None]
    ) -> None:
        """`over` is called when the connection has ended."""
        # Without a proxy's id: none will fetch it, so a drain need not wait for that.
        super().__init__(node, transport, stream)
        self.stream = stream
        self._over = over
        self._uncaught: list[Callable[[], None]] = []

    def data_received(self, data: bytes) -> None:
        """Drop it: the request is over."""

    def close(self, code: int, reason: str) -> None:
        """Say so, and end the answer; the node ends the connection if the client does not leave in time."""
        last = self.session.close(code, reason)
        if last:
            self.transport.write(last)
            self._finish()
            self._caught_up()

    def unhold(self) -> None:
        """The client's commands are worked off: more may come."""
        super().unhold()
        self._caught_up()

    def when_free(self, then: Callable[[], None]) -> None:
        """Call it when more commands may come: at once, or when enough is worked off, or the client is gone."""
        if self.held and self.session.open:
            self._uncaught.append(then)
        else:
            then()

    def _caught_up(self) -> None:
        waiting, self._uncaught = self._uncaught, []
        for then in waiting:
            then()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or the answer has ended."""
        super().connection_lost(exc)
        self._over()
        self._caught_up()
