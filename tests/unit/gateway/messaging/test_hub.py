"""All channels of one node: what comes in one turn of the loop goes out together."""

import asyncio
from collections.abc import Callable
from typing import cast

from flux_gateway.broker.broker import Broker
from flux_gateway.broker.events import Event
from flux_gateway.core.session import Traffic
from flux_gateway.gateway.messaging.channels.channel import Channel
from flux_gateway.gateway.messaging.channels.hub import Hub
from flux_gateway.gateway.messaging.channels.retention import retention
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.positions import Position
from tests.unit.gateway.messaging.listener import Listener, event


class Source:
    """Where events come from."""

    on_event: Callable[[str, Event], None]

    def unsubscribe(self, channel: str) -> None:
        """The last one has left."""

    def publish(self, channel: str, offset: int, letter: str) -> None:
        self.on_event(channel, event(offset, letter))


def _hub() -> tuple[Hub, Source]:
    source, settings = Source(), MessagingSettings()
    hub = Hub(
        cast(Broker, source), Traffic(), lambda rules: retention(rules, settings),
        lambda work, name: asyncio.create_task(work, name=name),
    )  # fmt: skip
    return hub, source


def _open(hub: Hub, name: str, *listeners: Listener) -> None:
    channel = hub.channels[name] = Channel(hub, name, Namespace())
    channel.found(Position(0, "e"), [])
    for listener in listeners:
        one = Subscription(cast(Client, listener), name, channel.rules)
        channel.join(one)
        channel.live(one, Position(0, "e"))


def test_who_hears_several_channels_gets_all_of_one_turn_in_one_write() -> None:
    async def scene() -> None:
        hub, source = _hub()
        both, first = Listener(), Listener()
        _open(hub, "a", both, first)
        _open(hub, "b", both)
        source.publish("a", 1, "A")
        source.publish("b", 1, "B")
        source.publish("a", 2, "C")
        assert not both.heard
        await asyncio.sleep(0)
        assert (both.data(), len(both.heard)) == (["A", "C", "B"], 1)
        assert (first.data(), len(first.heard)) == (["A", "C"], 1)
        source.publish("b", 2, "D")
        await asyncio.sleep(0)
        assert (both.data(), len(both.heard)) == (["A", "C", "B", "D"], 2)

    asyncio.run(scene())


def test_a_channel_that_closes_before_the_end_of_the_turn_costs_the_others_nothing() -> None:
    async def scene() -> None:
        hub, source = _hub()
        both = Listener()
        _open(hub, "a", both)
        _open(hub, "b", both)
        source.publish("a", 1, "A")
        source.publish("b", 1, "B")
        (leaving,) = hub.channels["a"].subscriptions()
        hub.leave(leaving)
        await asyncio.sleep(0)
        assert both.data() == ["A", "B"]

    asyncio.run(scene())
