"""What the clients of one load run share: the poller, the message template, and the account of connections."""

import asyncio
import heapq
import os
from collections import Counter
from random import Random
from struct import Struct
from time import monotonic
from typing import TYPE_CHECKING, Any

from flux_gateway.core.deadlines import Deadlines
from flux_gateway.core.frames import BINARY
from flux_gateway.core.histogram import Histogram
from flux_gateway.load.counts import Counts
from flux_gateway.load.frames import client_head, server_head
from flux_gateway.load.ledger import Tally
from flux_gateway.load.plan import MIN_SIZE, LoadPlan, parse_url
from flux_gateway.runtime.poller import Handler, Poller

if TYPE_CHECKING:
    from flux_gateway.load.client import Client

STAMP = Struct("!QQ")
"""The start of every message: its number, and when it was sent in monotonic nanoseconds."""

CLOSE_SECONDS = 2.0
"""How long the other side may take to close the TCP connection after the close frames."""

_LONGEST_PAUSE = 0.25
"""Seconds of the longest first pause before a reconnect; it doubles with every failure up to `_MOST_PAUSE`."""
_MOST_PAUSE = 2.0
_JITTER = 0.2
"""The shortest pause as a part of the longest: 50 to 250 ms at first."""


class Run:
    """Shared by the clients; they report here what happens to their connections."""

    def __init__(self, plan: LoadPlan, loop: asyncio.AbstractEventLoop, family: int, address: tuple[Any, ...]) -> None:
        self.plan = plan
        self.target = parse_url(plan.url)
        self.prefix = plan.prefix or f"load-{os.urandom(4).hex()}"
        self.family = family
        self.address = address
        self.poller = Poller(loop, self._handler_failed)
        self.fault: Exception | None = None
        """A mistake of the load client itself; the run is worth nothing then."""

        self.sending = True
        self.window = 0 if plan.rate else plan.window
        """Messages in flight per client in a closed loop, 0 in an open one."""
        self.padding = (os.urandom(64) * (plan.size // 64 + 1))[: plan.size - MIN_SIZE]
        """The rest of every message. Random, so that no server or proxy gets away with compressing it."""
        head = client_head(BINARY, plan.size)
        self.frame = bytearray(head + bytes(MIN_SIZE) + self.padding)
        """The one message frame; number and time are written into it before each send."""
        self.frame_head = len(head)
        self.answer_head = server_head(BINARY, plan.size)
        self.answer_size = len(self.answer_head) + plan.size
        self.buffer = bytearray(1 << 16)
        """Every client reads into this one: nothing stays in it after an event."""

        self.tally = Tally()
        self.latency = Histogram()
        self.silence = 0
        """Nanoseconds of the longest wait for an answer, among those that ended without one in this phase."""
        self.slowest_return = 0.0
        """Seconds of the slowest return that was completed in this phase."""
        self.returning: dict[Client, float] = {}
        """When each client that dials again after a disconnect dialled first, in monotonic seconds; oldest first."""
        self.blocked = 0
        self.connected = 0
        self.connects = 0
        self.node_changes = 0
        self.nodes: Counter[str] = Counter()
        self.disconnects: Counter[int] = Counter()
        self.ended: Counter[int] = Counter()
        self.connect_failures: Counter[str] = Counter()

        self.dialling: Deadlines[Client] = Deadlines(plan.connect_timeout)
        self.closing: Deadlines[Client] = Deadlines(CLOSE_SECONDS)
        self._returning: list[tuple[float, int, Client]] = []
        self._random = Random()  # noqa: S311  jitter is no secret

    def opened(self, client: "Client", node: str) -> None:
        """A handshake is complete."""
        self.dialling.discard(client)
        dialled = self.returning.pop(client, None)
        if dialled is not None:
            self.slowest_return = max(self.slowest_return, monotonic() - dialled)
        self.connected += 1
        self.connects += 1
        self.nodes[node] += 1
        if client.node is not None and client.node != node:
            self.node_changes += 1
        client.node = node

    def ended_by_other(self, client: "Client", code: int) -> None:
        """An open connection was ended by the other side."""
        self._left(client)
        self.disconnects[code] += 1

    def note_overtaken(self, now: int) -> None:
        """The oldest message that was overtaken just now has been waited for until now, in nanoseconds."""
        self.silence = max(self.silence, now - self.tally.overtaken)
        self.tally.overtaken = 0

    def ended_by_us(self, client: "Client", code: int) -> None:
        """A connection that the load was closing is closed; `code` is the server's answer."""
        self._left(client)
        self.ended[code] += 1

    def _left(self, client: "Client") -> None:
        self.connected -= 1
        node = client.node or ""
        self.nodes[node] -= 1
        if not self.nodes[node]:
            del self.nodes[node]

    def failed(self, client: "Client", cause: str) -> None:
        """A connection attempt has come to nothing."""
        self.dialling.discard(client)
        self.connect_failures[cause] += 1
        self.down(client)

    def down(self, client: "Client") -> None:
        """A client has no socket any more; it comes back after a pause that grows with its failures in a row."""
        self.closing.discard(client)
        if not self.plan.reconnect or not self.sending:
            return
        longest = min(_LONGEST_PAUSE * 2 ** min(client.failures, 10), _MOST_PAUSE)
        client.failures += 1
        pause = longest * self._random.uniform(_JITTER, 1.0)
        heapq.heappush(self._returning, (monotonic() + pause, client.index, client))

    def due_back(self, now: float, most: int) -> list["Client"]:
        """Take up to `most` clients whose pause is over."""
        due: list[Client] = []
        while self._returning and self._returning[0][0] <= now and len(due) < most:
            due.append(heapq.heappop(self._returning)[2])
        return due

    def next_back(self) -> float:
        """Return when the next pause is over, in monotonic seconds; infinity if nobody waits."""
        return self._returning[0][0] if self._returning else float("inf")

    @property
    def outstanding(self) -> int:
        """Messages in flight on open connections, those overtaken not counted."""
        tally = self.tally
        return tally.sent - tally.received - tally.lost - tally.missing - tally.unanswered

    def counts(self, skipped: int) -> Counts:
        """Return the figures of this moment."""
        tally = self.tally
        return Counts(
            connected=self.connected,
            outstanding=self.outstanding,
            nodes=dict(self.nodes),
            sent=tally.sent,
            received=tally.received,
            lost=tally.lost + tally.missing,
            doubled=tally.doubled,
            reordered=tally.reordered,
            corrupt=tally.corrupt,
            unanswered=tally.unanswered,
            blocked=self.blocked,
            skipped=skipped,
            connects=self.connects,
            node_changes=self.node_changes,
            disconnects=dict(self.disconnects),
            ended=dict(self.ended),
            connect_failures=dict(self.connect_failures),
        )

    def _handler_failed(self, fd: int, handler: Handler, error: Exception) -> None:
        self.fault = error
        client: Client = handler.__self__  # type: ignore[attr-defined]  # every handler is a method of a client
        client.abandon()
