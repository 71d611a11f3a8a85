"""Clients whose connection broke: their proxy goes on elsewhere with what their session record says, or nobody does."""

import asyncio
import itertools
from typing import Any

import pytest

from flux_gateway.broker import keys
from flux_gateway.gateway.messaging import endpoint
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.messaging.state import ClientState, SubscriptionState, encode
from tests.integration.gateway.messaging.places import Place, Seat, run, until
from tests.integration.gateway.wire import CLOSE, frame
from tests.processes import Stack

PRESENT = Namespace(presence=True)


async def present(place: Place, channel: str) -> set[str]:
    """Return the client ids in a channel."""
    return {*await place.broker.presence(channel)}


async def until_left(place: Place, channel: str) -> None:
    while await present(place, channel):
        await asyncio.sleep(0.02)


def test_a_client_whose_node_lives_is_kept_until_it_turns_up_elsewhere(
    shared: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(start: Place, there: Place) -> None:
        found, lost = await Seat().connect(start), await Seat().connect(start)
        for seat in (found, lost):
            await seat.ask("subscribe", channel="kept")
            seat.lose()
        await until(start.node.empty.is_set, "both are gone")
        assert await present(start, "kept") == {found.id, lost.id}
        await found.reattach(there)
        push = await found.read()
        assert (push["push"]["channel"], push["push"]["unsubscribe"]["code"]) == ("kept", 2500)
        assert there.endpoint.parts.counters.restored == {"found": 1}
        assert found.id in await present(there, "kept")
        # The one that turns up nowhere leaves in the end; the other one stays.
        while lost.id in await present(there, "kept"):
            await asyncio.sleep(0.02)
        assert await start.broker.load_record(lost.session) is None
        assert await present(there, "kept") == {found.id}
        assert await there.broker.load_record(found.session)

    monkeypatch.setattr(endpoint, "_LIMBO", 0.3)
    run(shared, body, nodes=2, default=PRESENT)


def test_a_client_that_says_goodbye_is_not_waited_for(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place)
        await seat.ask("subscribe", channel="goodbye")
        seat.writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))
        assert await seat.end() == 1000
        seat.writer.close()
        await asyncio.wait_for(until_left(place, "goodbye"), 2.0)
        assert await place.broker.load_record(seat.session) is None

    run(shared, body, default=PRESENT)


def test_a_client_without_a_record_is_sent_away_at_once(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().reattach(place)
        assert await asyncio.wait_for(seat.end(), 1.0) == 3011

    run(shared, body)


def test_a_record_that_cannot_be_read_is_none(shared: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def body(place: Place) -> None:
        for number, record in enumerate((b"\x02xx", b"\x01\xc1", b"garbage", b"")):
            seat = Seat()
            await place.broker.save_record(seat.session, 1, record, 600)
            await seat.reattach(place, fence=2)
            assert await asyncio.wait_for(seat.end(), 1.0) == 3011, number

    run(shared, body)
    assert not [one for one in caplog.records if one.exc_info or one.levelname == "ERROR"]


@pytest.mark.parametrize("step", ["subscribe", "history", "save_record", "add_presence"])
def test_a_client_that_goes_while_it_is_restored_is_heard_of_nowhere(
    shared: Stack, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    names = [f"restored-{step}-{number}" for number in range(20)]

    async def body(place: Place) -> None:
        carry_out, calls = getattr(place.broker, step), itertools.count(1)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def held(*arguments: Any, **named: Any) -> Any:
            """Redis has done it, but its answer takes long in the fifth channel."""
            answer = await carry_out(*arguments, **named)
            if next(calls) == 5:
                reached.set()
                await go_on.wait()
            return answer

        kept = {name: SubscriptionState(server_side=True, presence=True, announced=True) for name in names}
        record = encode(ClientState(client="restored", user="u", encoding="json", subscriptions=kept))
        seat = Seat()
        await place.broker.save_record(seat.session, 1, record, 600)
        monkeypatch.setattr(place.broker, step, held)
        await seat.reattach(place, fence=2)
        await asyncio.wait_for(reached.wait(), 5.0)
        seat.lose()
        await until(place.node.empty.is_set, "it is gone")
        go_on.set()
        while await place.broker.load_record(seat.session):
            await asyncio.sleep(0.02)
        with shared.registry() as redis:
            await until(lambda: not any(redis.exists(keys.presence(name)) for name in names), "it is present nowhere")
        await until(lambda: not place.channels, "no channel is heard", 1.0)
        assert place.endpoint.parts.counters.restored == {"found": 1}

    monkeypatch.setattr(endpoint, "_LIMBO", 0.01)
    run(shared, body, default=PRESENT)


def test_a_channel_that_was_to_be_subscribed_anew_can_be_given_up(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place)
        await seat.ask("subscribe", channel="anew")
        seat.lose()
        await until(place.node.empty.is_set, "it is gone")
        await seat.reattach(place)
        assert (await seat.hear("unsubscribe"))["code"] == 2500
        assert await present(place, "anew") == {seat.id}
        await seat.ask("unsubscribe", channel="anew")
        await asyncio.wait_for(until_left(place, "anew"), 1.0)

    run(shared, body, default=PRESENT)
