"""A client that behaves as the published SDKs do: it keeps positions, subscribes anew, and comes back."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.integration.gateway.wire import CLOSE, Arrived, frame
from tests.integration.messaging_model.dialect import DIALECTS, PROTOCOLS, Said
from tests.integration.messaging_model.ledger import Ledger, Plain, Positioned, Violation
from tests.integration.messaging_model.relay import Relay
from tests.processes import Daemon

_TIMEOUT = 5.0
"""Seconds for an answer; who gets none comes back with a new connection (facts, section 14)."""


class Failed(Exception):
    """A command was answered with an error, or not at all."""


class Subscription:
    """One channel of a client."""

    def __init__(self, channel: str, seen: Positioned | Plain) -> None:
        self.channel, self.seen = channel, seen
        self.state = "unsubscribed"
        self.resuming = False
        """It was told to subscribe anew: for the others it has never left."""
        self.heard: Counter[tuple[str, str]] = Counter()
        """Joins and leaves: (kind, client id)."""


class SdkClient:
    """One client, through a `Relay` at a time. `report` is told at once of what must not happen."""

    def __init__(
        self, name: str, encoding: str, ledger: Ledger, *, relay: Callable[..., Relay],
        nodes: Callable[[], list[Daemon]], seen: Callable[[str, str], Positioned | Plain],
        report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.name, self.encoding, self.ledger = name, encoding, ledger
        self.id = ""
        self.relay: Relay | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.closes: list[str] = []
        """Why connections have ended, each time."""
        self.places = 0
        """Nodes it has been on, each time counted anew."""
        self.pause = 0.0
        """Seconds it takes its time to subscribe anew when it is told to."""
        self.pinged = asyncio.Event()
        self.mute = False
        """Pongs take their time: `pong` sends one."""
        self.leaving = False
        self._make_relay, self._nodes, self._make_seen, self._report = relay, nodes, seen, report
        self._dialect = DIALECTS[encoding]
        self._number = 0
        self._asked: dict[int, tuple[asyncio.Future[Said], Callable[[Said], None] | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def settled(self) -> bool:
        """Whether it is where it wants to be."""
        return bool(self.id) and not self._asked and all(
            one.state in ("subscribed", "unsubscribed") for one in self.subscriptions.values()
        )

    # Connecting.

    async def connect(self, node: Daemon) -> None:
        """Connect to a node. Raises `Failed`."""
        if self.leaving:
            raise Failed("left")
        relay: Relay = self._make_relay(
            lambda arrived: self._arrived(relay, arrived), lambda: self._closed(relay, "no close")
        )
        self.relay = relay
        self.places += 1
        await relay.open(node, PROTOCOLS[self.encoding])
        answer = await self._ask("connect", {})
        self.id = answer.body["client"]

    def _closed(self, relay: Relay, why: str) -> None:
        if relay is not self.relay:
            return
        relay.close()
        self.relay = None
        self.closes.append(why)
        for subscription in self.subscriptions.values():
            subscription.resuming = False
            if subscription.state != "unsubscribed":
                self.ledger.left[self.id, subscription.channel] += 1
                subscription.state = "subscribing"
            if isinstance(subscription.seen, Plain):
                subscription.seen.ended()
        self.id = ""
        asked, self._asked = self._asked, {}
        for future, _ in asked.values():
            if not future.done():
                future.set_exception(Failed(why))
        if not self.leaving:
            self._start(self._come_back())

    async def _come_back(self) -> None:
        while self.relay is None and not self.leaving:
            await asyncio.sleep(random.uniform(0.02, 0.1))
            try:
                await self.connect(random.choice(self._nodes()))
            except (Failed, OSError, asyncio.IncompleteReadError) as error:
                self._forget_relay(f"connect: {error!r}")
        for subscription in [*self.subscriptions.values()]:
            if subscription.state == "subscribing":
                self._start(self._subscribe(subscription))

    def _forget_relay(self, why: str) -> None:
        if self.relay is not None:
            self.closes.append(why)
            self.relay.close()
            self.relay = None

    async def leave(self) -> None:
        """Disconnect for good."""
        self.leaving = True
        relay = self.relay
        if relay is not None:
            relay.send(frame(CLOSE, (1000).to_bytes(2, "big")))
            self._closed(relay, "left")

    def end(self) -> None:
        """Stop without a word."""
        self.leaving = True
        if self.relay is not None:
            self.relay.close()
        for task in self._tasks:
            task.cancel()

    # Commands.

    async def _ask(
        self, name: str, fields: dict[str, Any], then: Callable[[Said], None] | None = None
    ) -> Said:
        """`then` is called as soon as the answer is there: publications may follow it in the same frame."""
        relay = self.relay
        if relay is None:
            raise Failed("not connected")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer, then
        relay.send(frame(self._dialect.opcode, self._dialect.command(number, name, fields)))
        try:
            said = await asyncio.wait_for(answer, _TIMEOUT)
        except TimeoutError as error:
            if name not in ("publish", "presence"):
                self._closed(relay, f"no answer to {name}")
            raise Failed(f"no answer to {name}") from error
        finally:
            self._asked.pop(number, None)
        if said.kind == "error":
            raise Failed(str(said.body))
        if said.kind != name:
            self._report(f"{self.name}: {name} was answered with {said}")
        return said

    def subscribe(self, channel: str) -> None:
        """Want a channel."""
        subscription = self.subscriptions.get(channel)
        if subscription is None:
            subscription = Subscription(channel, self._make_seen(channel, self.name))
            self.subscriptions[channel] = subscription
        if subscription.state == "unsubscribed":
            subscription.state = "subscribing"
            self._start(self._subscribe(subscription))

    async def _subscribe(self, subscription: Subscription) -> None:
        relay = self.relay
        while relay is self.relay and relay is not None and subscription.state == "subscribing":
            asked = subscription.seen.request()
            if not subscription.resuming:
                self.ledger.joined[self.id, subscription.channel] += 1
            try:
                await self._ask(
                    "subscribe", {"channel": subscription.channel, "flag": 1, **asked},
                    partial(self._subscribed, subscription, asked),
                )  # fmt: skip
                return
            except Failed as error:
                if "'code': 100" not in str(error) and relay is self.relay:
                    self._report(f"{self.name}: subscribe to {subscription.channel} failed: {error}")
                    return
            await asyncio.sleep(random.uniform(0.05, 0.2))

    def _subscribed(self, subscription: Subscription, asked: dict[str, Any], said: Said) -> None:
        if said.kind == "subscribe":
            subscription.state, subscription.resuming = "subscribed", False
            subscription.seen.subscribed(said.body, asked)

    async def unsubscribe(self, channel: str) -> None:
        """Want a channel no more."""
        subscription = self.subscriptions[channel]
        if subscription.state != "subscribed" or not self.id:
            return
        subscription.state = "unsubscribed"
        self.ledger.left[self.id, channel] += 1
        if isinstance(subscription.seen, Plain):
            subscription.seen.ended()
        try:
            await self._ask("unsubscribe", {"channel": channel})
        except Failed:
            # As SDKs do: without an answer nobody knows what the server thinks.
            if self.relay is not None:
                self._closed(self.relay, "no answer to unsubscribe")

    async def publish(self, channel: str, number: int) -> bool:
        """Publish; tell whether it was acknowledged."""
        try:
            await self._ask("publish", {"channel": channel, "data": {"n": number}})
        except Failed:
            return False
        return True

    async def presence(self, channel: str) -> set[str]:
        """Return the clients in a channel. Raises `Failed`."""
        return set((await self._ask("presence", {"channel": channel})).body.get("presence", {}))

    def pong(self) -> None:
        """Answer a ping."""
        if self.relay is not None:
            self.relay.send(frame(self._dialect.opcode, self._dialect.pong()))

    # What comes.

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._report(f"{self.name}: {task.exception()!r}")

    def _arrived(self, relay: Relay, arrived: Arrived) -> None:
        if relay is not self.relay:
            return
        if arrived.opcode == CLOSE:
            code, reason = int.from_bytes(arrived.payload[:2], "big"), arrived.payload[2:].decode()
            relay.send(frame(CLOSE, arrived.payload))
            if code == 1009 or 3500 <= code < 4000:
                self._report(f"{self.name}: closed for good with {code} {reason}")
            if not reason:
                self._report(f"{self.name}: closed with {code} without a reason")
            self._closed(relay, f"{code} {reason}")
            return
        if arrived.opcode != self._dialect.opcode:
            self._report(f"{self.name}: a frame with opcode {arrived.opcode}")
        try:
            for said in self._dialect.read(arrived.payload):
                self._said(relay, said)
        except (Violation, KeyError, ValueError) as error:
            self._report(f"{self.name} ({self.encoding}): {error!r}")

    def _said(self, relay: Relay, said: Said) -> None:
        if said.kind == "ping":
            self.pinged.set()
            if not self.mute:
                self.pong()
        elif said.id:
            self._answered(said)
        elif said.kind == "unsubscribe":
            self._told_to_subscribe(said)
        elif said.kind == "pub":
            self._published(said)
        elif said.kind in ("join", "leave"):
            self._moved(said)
        else:
            self._report(f"{self.name}: {said}")

    def _answered(self, said: Said) -> None:
        if said.id not in self._asked:
            # It came too late, or the session has been reattached meanwhile.
            return
        answer, then = self._asked.pop(said.id)
        if then is not None:
            then(said)
        if not answer.done():
            answer.set_result(said)

    def _told_to_subscribe(self, said: Said) -> None:
        subscription = self.subscriptions.get(said.channel)
        if said.body.get("code") != 2500 or not said.body.get("reason") or subscription is None:
            self._report(f"{self.name}: {said}")
            return
        if subscription.state == "subscribed":
            subscription.state, subscription.resuming = "subscribing", True
            if isinstance(subscription.seen, Plain):
                subscription.seen.ended()
            self._start(self._resubscribe(subscription))

    async def _resubscribe(self, subscription: Subscription) -> None:
        await asyncio.sleep(self.pause)
        await self._subscribe(subscription)

    def _published(self, said: Said) -> None:
        subscription = self.subscriptions.get(said.channel)
        if subscription is None:
            self._report(f"{self.name}: {said} of a channel it never wanted")
        elif subscription.state == "subscribed":
            subscription.seen.published(said.body)
        elif subscription.state == "subscribing":
            self._report(f"{self.name}: {said} before the answer")

    def _moved(self, said: Said) -> None:
        subscription = self.subscriptions.get(said.channel)
        if subscription is None or subscription.state == "unsubscribed":
            return
        subscription.heard[said.kind, said.body["info"]["client"]] += 1
