"""`connect` where it is refused: what it answers, when the client has to go, and that nothing stays behind."""

import asyncio
from typing import Any

import pytest

from flux_gateway.gateway.messaging import endpoint, turnstile
from flux_gateway.gateway.messaging.orders.orders import DisconnectOrder, encode
from flux_gateway.messaging.namespaces import Namespace
from tests.integration.gateway.messaging.places import Place, Seat, run, token
from tests.processes import Stack

EVERYTHING = Namespace(presence=True, history_size=10, history_ttl=60.0, force_recovery=True)


def test_who_waits_too_long_for_its_turn_is_to_come_back_later(shared: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(place: Place) -> None:
        await Seat().connect(place)
        late = await Seat().open(place)
        error = (await late.ask("connect"))["error"]
        assert (error["code"], error["temporary"]) == (111, True)
        assert await late.end() == 3502
        assert len(place.endpoint.parts.turnstile) <= 1

    monkeypatch.setattr(turnstile, "_PATIENCE", 0.3)
    monkeypatch.setattr(endpoint, "_LEAVE", 0.3)
    run(shared, body, connect_rate=0.1, connect_timeout=60.0)


def test_a_refused_connect_leaves_nothing_behind(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().open(place)
        said = await seat.ask("connect", token=token("eve", channels=["behind", "unknown:x"]))
        assert said["error"]["code"] == 102
        assert place.channels == []
        assert await place.broker.presence("behind") == {}
        assert await place.broker.load_record(seat.session) is None

    run(shared, body, tokens=True, default=EVERYTHING)


def test_a_refused_connect_does_not_count_as_a_connection_of_the_user(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().open(place)
        assert (await seat.ask("connect", token=token("eve", channels=["unknown:x"])))["error"]["code"] == 102
        await Seat().connect(place, token=token("eve"))

    run(shared, body, tokens=True, connections_per_user=1)


def test_an_order_that_is_given_while_a_client_connects_is_carried_out(
    shared: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for somebody, and who that is has just become known."""

    async def body(place: Place) -> None:
        saving, told = asyncio.Event(), asyncio.Event()
        save = place.broker.save_record

        async def held(*arguments: Any) -> bool:
            saving.set()
            await told.wait()
            return await save(*arguments)

        monkeypatch.setattr(place.broker, "save_record", held)
        seat = await Seat().open(place)
        # The record of a subscription by the server is written before the client has connected.
        seat.say({"id": 1, "connect": {"token": token("eve", channels=["news"])}})
        await asyncio.wait_for(saving.wait(), 5)
        place.broker.on_control(encode(DisconnectOrder(node="gateway-9", user="eve")))
        told.set()
        assert "connect" in await seat.read()
        assert await seat.end() == 3503

        # One that was given before is not for who connects after it.
        monkeypatch.setattr(place.broker, "save_record", save)
        await (await Seat().connect(place, token=token("eve"))).ask("rpc", method="still there")

    run(shared, body, tokens=True)
