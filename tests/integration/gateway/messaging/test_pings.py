"""Pings and pongs of the clients of a node: who answers is not closed, however busy client or node are."""

import asyncio

from tests.integration.gateway.messaging.places import Place, Seat, run, running, until
from tests.processes import Stack
from tests.unit.gateway.messaging.back_end import back_end


def test_a_node_that_forgives_asks_again_and_takes_both_pongs(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place)
        assert await seat.read() == {}
        place.node.forgive()
        assert await seat.read() == {}
        assert place.client(seat).owed == 2
        seat.say({})
        seat.say({})
        await until(lambda: place.client(seat).owed == 0, "both pongs have come")
        await seat.quiet()

    run(shared, body, ping_interval=1, ping_timeout=0.3)


def test_a_pong_too_many_is_a_fault(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().connect(place)
        assert await seat.read() == {}
        seat.say({})
        seat.say({})
        assert await seat.end() == 3501

    run(shared, body, ping_interval=1, ping_timeout=0.3)


def test_a_pong_counts_while_a_command_takes_long(shared: Stack) -> None:
    async def main() -> None:
        async with back_end() as web, running(
            shared, webhook_rpc_url=web.url, webhook_timeout=5.0, ping_interval=1, ping_timeout=0.3
        ) as [place]:
            web.delay, web.answer = 2.0, '{"result": {"data": 7}}'
            seat = await Seat().connect(place)
            assert (await seat.ask("rpc", method="slow"))["rpc"]["data"] == 7  # answers the pings meanwhile

    asyncio.run(main())
