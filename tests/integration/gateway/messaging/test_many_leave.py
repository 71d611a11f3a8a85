"""Presence of clients that leave: many at once, or while the node says that they are still there."""

import asyncio

import pytest

from flux_gateway.broker import keys
from flux_gateway.broker.refresh import LifeSign
from flux_gateway.gateway.messaging.channels.subscription import Subscription
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.departures import Departures
from flux_gateway.gateway.messaging.encodings import WEBSOCKET_JSON
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.publication import ClientInfo
from tests.integration.gateway.messaging.places import Place, Seat, run, token, until
from tests.integration.gateway.wire import CLOSE, frame
from tests.processes import Stack

PRESENT = Namespace(presence=True, join_leave=True, allow_subscribe_for_client=True)


def test_many_clients_of_many_channels_leave_at_once(shared: Stack) -> None:
    channels = [f"crowd-{number}" for number in range(100)]

    async def body(place: Place) -> None:
        departures, crowd = Departures(place.broker, place.endpoint.own), []
        for number in range(200):
            client = Client(place.endpoint, f"crowd-{number}", WEBSOCKET_JSON, {})
            client.id = f"client-{number}"
            left = [Subscription(client, channel, PRESENT) for channel in channels]
            for one in left:
                one.presence = one.announced = True
            crowd.append((client, left))
            await asyncio.gather(
                *(place.broker.add_presence(channel, ClientInfo("", client.id), 60.0) for channel in channels)
            )
        assert len(await place.broker.presence(channels[99])) == 200
        for client, left in crowd:
            departures.add(client, 0, left)
        with shared.registry() as redis:
            await until(lambda: not any(redis.exists(keys.presence(one)) for one in channels), "all have left", 10.0)

    run(shared, body)


def test_clients_that_leave_while_presence_is_refreshed_are_not_brought_back(
    shared: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(place: Place) -> None:
        seats = [await Seat().connect(place, token=token("ghost")) for _ in range(20)]
        for seat in seats:
            seat.say(*({"id": 100 + number, "subscribe": {"channel": f"ghost-{number}"}} for number in range(100)))
        await until(lambda: sum(len(one.subscriptions) for one in place.endpoint.clients) == 2000, "all are subscribed")
        await until(lambda: not any(one.busy for one in place.endpoint.clients), "and told so")
        begun, go_on, touch = asyncio.Event(), asyncio.Event(), place.broker._touch

        async def slowly(batch: list[LifeSign], presence_ttl: float, record_ttl: float) -> list[str]:
            missing = await touch(batch, presence_ttl, record_ttl)
            begun.set()
            await go_on.wait()
            return missing

        monkeypatch.setattr(place.broker, "_touch", slowly)
        touching = asyncio.create_task(place.endpoint._touch([*place.endpoint.clients]))
        await begun.wait()  # half of them
        for seat in seats:
            seat.writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))
            seat.writer.close()
        names = [*(keys.presence(f"ghost-{number}") for number in range(100)), keys.user("ghost")]
        with shared.registry() as redis:
            await until(lambda: not redis.exists(*names), "all have left")
            go_on.set()
            await touching
            assert not redis.exists(*names)

    run(shared, body, tokens=True, default=PRESENT, connections_per_user=100)
