"""Clients that are to go to another node while they are busy, or have no business to go anywhere."""

import asyncio

import pytest

from flux_gateway.core.link import Refused
from flux_gateway.messaging.namespaces import Namespace
from tests.integration.gateway.messaging.places import Place, Seat, run, running, token, until
from tests.processes import Stack
from tests.unit.gateway.messaging.back_end import back_end

KEPT = Namespace(history_size=100, history_ttl=60.0)
OPEN = Namespace(allow_subscribe_for_client=True, allow_subscribe_for_anonymous=True)


def test_a_client_whose_connect_was_refused_cannot_move(shared: Stack) -> None:
    async def body(place: Place) -> None:
        seat = await Seat().open(place)
        assert (await seat.ask("connect", token=token(exp=1)))["error"]["code"] == 109
        assert seat.begin_move(place) == [Refused({seat.session: "refused"})]
        seat.say({"id": 2, "subscribe": {"channel": "x"}})
        assert await seat.end() == 3501

    run(shared, body, tokens=True, default=OPEN)


def test_a_client_whose_connect_is_refused_while_it_moves_is_nobody_elsewhere(shared: Stack) -> None:
    async def main() -> None:
        async with back_end() as web, running(
            shared, nodes=2, tokens=True, webhook_connect_url=web.url, default=OPEN
        ) as [start, there]:
            web.delay, web.answer = 0.3, '{"error": {"code": 1000}}'
            seat = await Seat().open(start)
            seat.say({"id": 1, "connect": {}})
            await until(lambda: web.requests, "the back end is asked")
            await seat.move(start, there)
            assert [one["error"]["code"] for one in seat.heard] == [1000]
            seat.say({"id": 2, "subscribe": {"channel": "x"}})
            assert await seat.end() == 3501

    asyncio.run(main())


def test_a_connection_lost_while_its_move_waits_for_a_command(shared: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with back_end() as web, running(shared, webhook_rpc_url=web.url, webhook_timeout=5.0) as [place]:
            web.delay = 1.0
            seat, other = await Seat().connect(place), await Seat().connect(place)
            await seat.ask("subscribe", channel="lost-move")
            seat.say({"id": 9, "rpc": {"method": "slow"}})
            await until(lambda: web.requests, "the back end is asked")
            said = seat.begin_move(place)
            await asyncio.sleep(0.1)
            seat.lose()
            for number in range(3):
                await other.ask("publish", channel="lost-move", data=number)
            other.lose()
            await until(place.node.empty.is_set, "nobody is left", 3.0)
            await asyncio.sleep(1.2)  # as long as the back end takes
            assert len(said) == 1
            assert not place.node.connections

    asyncio.run(main())
    assert not [one for one in caplog.records if one.exc_info or one.levelname == "ERROR"]


@pytest.mark.parametrize("many", [2, 6])
def test_much_that_waits_behind_a_slow_command_moves_without_loss(shared: Stack, many: int) -> None:
    channel = f"much-{many}"

    async def main() -> None:
        async with back_end() as web, running(
            shared, nodes=2, webhook_rpc_url=web.url, webhook_timeout=5.0, default=KEPT
        ) as [start, there]:
            web.delay, web.answer = 0.5, '{"result": {"data": 7}}'
            seat = await Seat().connect(start)
            seat.say({"id": 10, "rpc": {"method": "slow"}})
            for number in range(many):
                seat.say({"id": 11 + number, "publish": {"channel": channel, "data": f"{number}" * 60_000}})
            await until(lambda: web.requests, "the back end is asked")
            await seat.move(start, there)
            replies = seat.heard + [await seat.read() for _ in range(1 + many - len(seat.heard))]
            assert [reply["id"] for reply in replies] == list(range(10, 11 + many))
            assert replies[0]["rpc"] == {"data": 7}
            assert [reply["publish"] for reply in replies[1:]] == [{}] * many
            kept = (await seat.ask("history", channel=channel, limit=-1))["history"]["publications"]
            assert [one["data"][:1] for one in kept] == [*"012345"[:many]]
            # Two can travel; six are too much, and are carried out before.
            assert (there.endpoint.parts.counters.commands["publish"] == many) == (many == 2)

    asyncio.run(main())
