"""Clients that read slowly."""

import asyncio

from flux_gateway.messaging.namespaces import Namespace
from tests.integration.gateway.messaging.places import Place, Seat, run, until
from tests.processes import Stack

KEPT = Namespace(history_size=1000, history_ttl=60.0, force_recovery=True)
LIMIT = 65_536


async def asleep(place: Place, channel: str) -> Seat:
    """Return a client that does not read the answer with everything a channel holds, which is much more than LIMIT."""
    publisher = await Seat().connect(place)
    for _ in range(300):
        await publisher.ask("publish", channel=channel, data="x" * 40_000)
    seat = await Seat().connect(place, buffer=4096)
    seat.writer.transport.pause_reading()  # type: ignore[attr-defined]
    seat.say({"id": 2, "subscribe": {"channel": channel, "recover": True, "epoch": "", "offset": 0}})
    await until(lambda: place.client(seat).connection.blocked, "it does not keep up")
    return seat


def test_one_large_answer_is_no_fault_of_its_client(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await asleep(place, "large")
        publisher = await Seat().connect(place)
        for number in range(3):
            await publisher.ask("publish", channel="large", data=number)
        await asyncio.sleep(0.1)
        seat.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = (await seat.read())["subscribe"]
        assert len(answer["publications"]) == 300
        assert [(await seat.hear("pub"))["data"] for _ in range(3)] == [0, 1, 2]
        assert place.node.counters.overflows == 0

    run(shared, body, gateway={"outbox_limit": LIMIT}, default=KEPT)


def test_what_waits_behind_a_large_answer_counts(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await asleep(place, "behind-large")
        client = place.client(seat)
        publisher = await Seat().connect(place)
        for _ in range(300):  # less than the answer, of which the kernel has taken a part
            await publisher.ask("publish", channel="behind-large", data="x" * 40_000)
            if place.node.counters.overflows:
                break
        assert place.node.counters.overflows == 1
        assert not client.connection.session.open

    run(shared, body, gateway={"outbox_limit": LIMIT}, default=KEPT)


def test_large_answers_wait_for_their_client_and_do_not_pile_up(shared: Stack) -> None:
    async def body(place: Place) -> None:
        publisher = await Seat().connect(place)
        for _ in range(20):
            await publisher.ask("publish", channel="asked-often", data="x" * 40_000)
        seat = await Seat().connect(place, buffer=4096)
        client = place.client(seat)
        seat.writer.transport.pause_reading()  # type: ignore[attr-defined]
        seat.say(*({"id": 2 + one, "history": {"channel": "asked-often", "limit": -1}} for one in range(40)))
        await until(lambda: client.connection.blocked, "it does not keep up")
        largest, end = 0, place.node.now() + 1.0
        while place.node.now() < end:
            largest = max(largest, client.connection.transport.get_write_buffer_size())
            await asyncio.sleep(0.01)
        assert largest < 3_000_000  # one answer is 800 kB
        seat.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await seat.read())["id"] for _ in range(40)] == [*range(2, 42)]
        assert place.node.counters.overflows == 0

    run(shared, body, gateway={"outbox_limit": LIMIT}, default=KEPT)
