"""One client of the messaging endpoint: its commands one after the other, and what is said to it.

It is the application of a session (`core.session.Application`), so it goes where the session goes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Protocol

from flux_gateway.core.errors import Unmovable
from flux_gateway.core.frames import TEXT, Buffer
from flux_gateway.core.frozen import LIMIT
from flux_gateway.core.session import Session
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.encodings import WEBSOCKET_JSON, WEBSOCKET_PROTOBUF, Encoding
from flux_gateway.gateway.messaging.pace import Pace
from flux_gateway.messaging import state
from flux_gateway.messaging.codec import Malformed, NotJson
from flux_gateway.messaging.codes import ClientError, CloseCode, Disconnect, unsubscribe_reason
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.positions import Position
from flux_gateway.messaging.publication import ClientInfo
from flux_gateway.messaging.results import Push, Result, Unsubscribe
from flux_gateway.messaging.state import ClientState

_MANY = 16
"""Frames that may wait before the client is not read from any more."""

_MUCH = 131_072
"""Bytes of frames that may wait, and that may travel with the session."""

_ROOM = 8192
"""Bytes a frozen session needs beside the state of its client."""

_CLOSING = {
    1008: (CloseCode.SLOW, "slow"),
    1011: (CloseCode.NO_PONG, "no pong"),
    1012: (CloseCode.SHUTDOWN, "shutdown"),
}
"""What the protocol says where a node closes any session: the client comes back."""


class Stage(Enum):
    """How far a client is."""

    NEW = auto()
    """It has not connected; its first command has to do that."""
    RESTORING = auto()
    """Its node is gone; this one is asking what is known of it."""
    CONNECTED = auto()
    REFUSED = auto()
    """Its `connect` was answered with an error; it is to leave."""
    OVER = auto()


class Owner(Protocol):
    """What a client needs of the messaging part of its node."""

    def now(self) -> float:
        """Monotonic seconds."""

    def start(self, client: "Client") -> "asyncio.Task[None]":
        """Run the client's `work` in a task."""

    async def carry_out(self, client: "Client", command: Command) -> None:
        """Carry out one command and answer it. Raises `ClientError` and `Disconnect`."""

    def insufficient(self, client: "Client", subscription: Subscription) -> None:
        """The client has missed publications of a channel: it is to subscribe anew from its position."""

    def position(self, subscription: Subscription) -> Position:
        """How far the client has been served in a channel."""

    def known(self, client: "Client") -> None:
        """The client has connected: orders may name it."""

    def orders(self, client: "Client") -> list[str]:
        """Ids of the orders of the last seconds for the client."""

    def ping_due(self, client: "Client") -> float:
        """Seconds to the client's next ping."""

    def silence(self, client: "Client") -> None:
        """Nothing more may be sent to the client: its last word is on its way."""

    def let_go(self, client: "Client") -> None:
        """The session goes on elsewhere: forget the client, but not that it exists."""

    def gone(self, client: "Client") -> None:
        """The client has left for good."""


class Client:
    """A client and what is known of it. The node's messaging part fills it in when the client connects."""

    __slots__ = (
        "_node", "_orders", "_session", "_task", "_then", "_undone", "connection", "due_orders", "encoding",
        "expire_at", "forgiven", "headers", "id", "info", "known_orders", "meta", "owed", "pace", "refreshable",
        "resuming", "secret", "session_id", "stage", "subscriptions", "thawed", "user",
    )  # fmt: skip

    def __init__(self, node: Owner, session_id: str, encoding: Encoding, headers: Mapping[str, str]) -> None:
        self._node = node
        self.session_id = session_id
        self.encoding = encoding
        self.headers = headers
        self.stage = Stage.NEW
        self.id = ""
        self.user = ""
        self.info = b""
        self.meta = b""
        self.expire_at = 0.0
        """Unix seconds, 0 for never."""
        self.refreshable = False
        """The client itself brings a new token before the old one expires."""
        self.subscriptions: dict[str, Subscription] = {}
        self.resuming: dict[str, Subscription] = {}
        """Channels it is to subscribe to anew: it has never left them, so nobody is told that it leaves or joins."""
        self.pace: Pace | None = None
        self.secret = ""
        """What requests have to know that bring its commands; empty where these come by its own connection."""
        self.connection: Connection
        self.thawed: ClientState | None = None
        """As it came from another node, until it has its connection here."""
        self.owed = 0
        """Pings it has not answered, also those of the nodes before."""
        self.forgiven = False
        """One pong more is no fault: a node that is gone may have asked."""
        self.due_orders: tuple[str, ...] = ()
        """Ids of orders not carried out yet: when it leaves before, the next node has to."""
        self.known_orders: tuple[str, ...] | None = None
        """Ids of orders that do not concern it: the node before has seen them, or they are from before it was anybody.
        None when all others were carried out here."""
        self._undone: deque[tuple[int, bytes]] | None = None
        self._orders: deque[Callable[[], Awaitable[None]]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._then: Callable[[], None] | None = None

    @property
    def present(self) -> bool:
        """Whether it has connected and not left."""
        return self.stage is Stage.CONNECTED

    @property
    def waiting(self) -> int:
        """Return how many of its frames are not worked off."""
        return len(self._undone or ())

    @property
    def busy(self) -> bool:
        """Whether it is at a command."""
        return self._task is not None

    def identified(self) -> None:
        """It is known who it is: orders from now on concern it, though it has not connected yet."""
        self.known_orders = tuple(self._node.orders(self))

    def enter(self) -> None:
        """It has connected, or is restored."""
        self.stage = Stage.CONNECTED
        self._node.known(self)

    # What the client says.

    def __call__(self, session: Session, opcode: int, payload: Buffer) -> bytes:
        """Take one frame with commands."""
        if self.stage is Stage.OVER:
            return b""
        if self.forgiven and not self.id:
            # A proxy that reattaches a session does not know what was agreed in the handshake.
            self.encoding = WEBSOCKET_JSON if opcode == TEXT else WEBSOCKET_PROTOBUF
        if self.pace is not None and not self.pace.size.take(len(payload), self._node.now()):
            self.disconnect(Disconnect(CloseCode.TOO_MANY_REQUESTS))
            return b""
        pong = payload == self.encoding.codec.ping and self.stage is not Stage.RESTORING
        if pong and (self.owed or not self._undone):
            # Out of turn: commands that take long say nothing of the client's life.
            self._pong()
            return b""
        self.take([(0, bytes(payload))])
        return b""

    def take(self, frames: list[tuple[int, bytes]]) -> None:
        """Work frames off, after those that wait already: (commands of it that are done, payload)."""
        self._undone = self._undone or deque()
        self._undone += frames
        self.resume()
        if (len(self._undone) > _MANY or self._size() > _MUCH) and not self.connection.held:
            self.connection.hold()

    def _size(self) -> int:
        return sum(len(payload) for _, payload in self._undone or ())

    def resume(self) -> None:
        """Work off what waits, unless that is under way, or the client is being restored."""
        if (self._undone or self._orders) and self._task is None and self.stage is not Stage.RESTORING:
            self._task = self._node.start(self)

    def carry(self, order: Callable[[], Awaitable[None]]) -> None:
        """Have something carried out that the server wants, before the client's next command.

        It may raise `Disconnect`. It is not carried out when the session leaves before.
        """
        self._orders = self._orders or deque()
        self._orders.append(order)
        self.resume()

    def begin(self, order_id: str) -> None:
        """An order is being carried out: the next node has not to."""
        self.due_orders = tuple(one for one in self.due_orders if one != order_id)

    async def work(self) -> None:
        """Carry out what waits, until there is nothing more or the session is to leave."""
        try:
            while (self._orders or self._undone) and self.stage is not Stage.OVER and not self.connection.blocked:
                if self._then is not None and self._size() <= _MUCH:
                    break  # what is left is little enough to travel
                if self._orders:
                    await self._orders.popleft()()
                    continue
                assert self._undone is not None
                await self._frame(*self._undone[0])
                if self.connection.held and len(self._undone) <= _MANY // 2 and self._size() <= _MUCH // 2:
                    self.connection.unhold()
        except Malformed:
            self.disconnect(Disconnect(CloseCode.BAD_REQUEST))
        except Disconnect as error:
            self.disconnect(error)
        finally:
            self._task = None
            # An empty deque takes 760 bytes, and most clients say nothing most of the time.
            self._undone, self._orders = self._undone or None, self._orders or None
            then, self._then = self._then, None
            if then is not None:
                then()

    async def _frame(self, done: int, payload: bytes) -> None:
        assert self._undone is not None
        commands = self.encoding.codec.decode(payload)
        for number, command in enumerate(commands[done:], done + 1):
            await self._command(command)
            if self.stage is Stage.OVER:
                return
            self._undone[0] = (number, payload)
            if self.stage is Stage.REFUSED or (
                number < len(commands) and (self._then is not None or self.connection.blocked)
            ):
                break
        if self.stage is Stage.REFUSED or self._undone[0][0] == len(commands):
            self._undone.popleft()

    async def _command(self, command: Command) -> None:
        if not command.name or (not command.id and command.name != "send"):
            self._pong()
            return
        if self.stage is Stage.REFUSED:
            raise Disconnect(CloseCode.BAD_REQUEST)
        if (command.name == "connect") is not (self.stage is Stage.NEW):
            # One that was reattached before it was known to Redis has to come back; any other broke the protocol.
            raise Disconnect(CloseCode.FORCE_RECONNECT if self.forgiven and not self.id else CloseCode.BAD_REQUEST)
        if self.pace is not None and not self.pace.commands.take(1, self._node.now()):
            raise Disconnect(CloseCode.TOO_MANY_REQUESTS)
        try:
            await self._node.carry_out(self, command)
        except ClientError as error:
            if command.name == "connect" and self.stage is not Stage.OVER:
                self.stage = Stage.REFUSED
            self.write(self.encoding.codec.error(command.id, error))

    def _pong(self) -> None:
        self._session.awaiting_pong = False
        if self.owed:
            self.owed -= 1
        elif self.forgiven and self.id:
            self.forgiven = False
        else:
            # One that answers a ping has connected: if that is not known here, Redis has lost it with its node.
            self.disconnect(Disconnect(CloseCode.FORCE_RECONNECT if self.forgiven else CloseCode.BAD_REQUEST))

    # What is said to the client.

    def write(self, record: bytes) -> None:
        """Send one reply or push."""
        if self.stage is not Stage.OVER:
            self.connection.send(self.encoding.wrap([record]))

    def reply(self, command: Command, result: Result) -> None:
        """Answer a command."""
        try:
            self.write(self.encoding.codec.reply(command.id, result))
        except NotJson:
            self.disconnect(Disconnect(CloseCode.INAPPROPRIATE_PROTOCOL))

    def push(self, channel: str, push: Push) -> None:
        """Say something that is no answer."""
        try:
            self.write(self.encoding.codec.push(channel, push))
        except NotJson:
            self.disconnect(Disconnect(CloseCode.INAPPROPRIATE_PROTOCOL))

    def unsubscribed(self, channel: str, code: int, reason: str = "") -> None:
        """Say that a subscription is over, by default with the reason that goes with the code."""
        self.push(channel, Unsubscribe(code=code, reason=reason or unsubscribe_reason(code)))

    def disconnect(self, error: Disconnect) -> None:
        """End the connection."""
        self.connection.close(error.code, error.reason)

    def insufficient(self, subscription: Subscription) -> None:
        """It has missed publications of a channel."""
        self._node.insufficient(self, subscription)

    def client_info(self, subscription: Subscription | None = None) -> ClientInfo:
        """Return what others are told of this client, in a channel."""
        return ClientInfo(self.user, self.id, self.info, subscription.info if subscription else b"")

    # As the application of a session.

    def bind(self, connection: Connection) -> None:
        """The session has its connection."""
        self.connection = connection
        self._session = connection.session

    def ping(self) -> bytes:
        """Return a ping."""
        self.owed += 1
        return self.encoding.wrap([self.encoding.codec.ping])

    def closing(self, code: int, reason: str) -> tuple[int, str]:
        """Return the protocol's own close code for one of RFC 6455. Afterwards nothing more is said or carried out."""
        self.stage = Stage.OVER
        self._node.silence(self)
        return _CLOSING.get(code, (code, reason))

    @property
    def objection(self) -> str:
        """Why the client cannot move now."""
        return {Stage.RESTORING: "being restored", Stage.REFUSED: "refused"}.get(self.stage, "")

    def finish(self, then: Callable[[], None]) -> bool:
        """Carry out the command that is under way; then call `then`. Returns False if there is none."""
        if self._task is None:
            return False
        self._then = then
        return True

    def freeze(self) -> bytes:
        """Give the client up to another node. Raises `Unmovable` when it is too large."""
        data = state.encode(self.state(positions=True))
        if len(data) > LIMIT - _ROOM:
            raise Unmovable("state too large to carry")
        self.stage = Stage.OVER
        self._node.let_go(self)
        return data

    def state(self, *, positions: bool) -> ClientState:
        """Return what is known of the client: all of it, or what its session record holds."""
        known = self.known_orders
        return ClientState(
            client=self.id,
            user=self.user,
            encoding=self.encoding.name,
            info=self.info,
            meta=self.meta,
            expire_at=self.expire_at,
            refreshable=self.refreshable,
            headers=dict(self.headers),
            ping_in=self._node.ping_due(self) if positions and self.id else 0.0,
            owed=self.owed,
            forgiven=self.forgiven,
            # One that is to come anew is told so again if this node dies before it has come.
            subscriptions={name: one.state(returning=True) for name, one in self.resuming.items()} | {
                name: one.state(*self._node.position(one)) if positions else one.state()
                for name, one in self.subscriptions.items()
            },
            undone=list(self._undone or ()) if positions else [],
            orders=list(known) if known is not None else [
                one for one in self._node.orders(self) if one not in self.due_orders
            ],
        )

    def lost(self) -> None:
        """The connection is over."""
        self._end()
        self._node.gone(self)

    def dropped(self) -> None:
        """A newer copy of the session is elsewhere."""
        self._end()
        self._node.let_go(self)

    def _end(self) -> None:
        self.stage = Stage.OVER
        self._then = None
        if self._task is not None:
            self._task.cancel()
