"""`gateway.messaging.control`: orders and questions across two nodes."""

import asyncio
import logging
import time
from typing import Any

import msgspec
import pytest
from cent import ChannelsRequest, DisconnectRequest, InfoRequest, RefreshRequest, SubscribeRequest, UnsubscribeRequest

from flux_gateway.gateway.messaging.orders import surveys
from flux_gateway.gateway.messaging.orders.control import Control
from flux_gateway.gateway.messaging.orders.orders import DisconnectOrder, RefreshOrder, UnsubscribeOrder, encode
from tests.integration.gateway.messaging.api_bench import Bench, User, Way, run
from tests.processes import Stack

QUIET = 0.3
"""Seconds after which nothing more is expected."""


async def still_there(*users: User) -> None:
    await asyncio.sleep(QUIET)
    for user in users:
        assert not user.closed.done()
        assert user.pushes.empty()


def test_disconnect_reaches_every_node_and_spares_the_whitelist(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        ann = [await bench.user("ann", node) for node in (0, 1, 1)]
        bob = await bench.user("bob", 1)
        await bench.cent.disconnect(DisconnectRequest(user="ann", whitelist=[ann[2].id]))
        assert [await user.end() for user in ann[:2]] == [3503, 3503]
        await still_there(bob, ann[2])
        assert await bench.result("disconnect", {"user": "nobody"}) == {}

    run(shared, body, nodes=2)


def test_filters_are_all_to_fit(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        ann, other, anonymous = await bench.user("ann", 1), await bench.user("ann", 1), await bench.user("", 1)
        await bench.result("disconnect", {"user": "bob", "client": ann.id})
        await still_there(ann, other, anonymous)
        end = {"code": 4100, "reason": "enough"}
        await bench.result("disconnect", {"user": "ann", "client": ann.id, "disconnect": end})
        assert await ann.end() == 4100
        session = bench.servers[1].client(other).session_id
        await bench.result("disconnect", {"user": "ann", "session": session})
        assert await other.end() == 3503
        await bench.result("disconnect", {"client": anonymous.id})
        assert await anonymous.end() == 3503

    run(shared, body, nodes=2)


def test_subscribe_and_unsubscribe(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        near, far = await bench.user("ann", 0), await bench.user("ann", 1)
        request = SubscribeRequest(user="ann", channel="chat:s", data={"d": 1}, info={"i": 2})
        await bench.cent.subscribe(request)
        for user in (near, far):
            push = await user.push()
            assert (push["channel"], push["subscribe"]["data"]) == ("chat:s", {"d": 1})
            assert push["subscribe"]["recoverable"]
            assert push["subscribe"]["positioned"]
            assert push["subscribe"]["epoch"]
        there = (await bench.result("presence", {"channel": "chat:s"}))["presence"]
        assert {client: info["chan_info"] for client, info in there.items()} == {near.id: {"i": 2}, far.id: {"i": 2}}
        await bench.result("publish", {"channel": "chat:s", "data": 7})
        for user in (near, far):
            assert (await user.push())["pub"]["data"] == 7
        await bench.cent.subscribe(request)  # as it is already
        await still_there(near, far)
        await bench.cent.unsubscribe(UnsubscribeRequest(user="ann", channel="chat:s"))
        for user in (near, far):
            assert (await user.push())["unsubscribe"] == {"code": 2000, "reason": "server unsubscribe"}
        await bench.result("publish", {"channel": "chat:s", "data": 8})
        await still_there(near, far)
        assert await bench.result("presence", {"channel": "chat:s"}) == {"presence": {}}

    run(shared, body, nodes=2)


def test_what_a_client_subscribed_to_by_itself_can_be_ended(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user("ann", 1)
        await user.ask("subscribe", channel="own")
        await bench.result("unsubscribe", {"user": "ann", "channel": "own"})
        assert (await user.push())["unsubscribe"]["code"] == 2000

    run(shared, body, nodes=2)


def test_a_subscription_recovers_from_where_the_back_end_says(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user("ann", 1)
        positions = [await bench.result("publish", {"channel": "chat:r", "data": number}) for number in range(4)]
        await bench.result("subscribe", {"user": "ann", "channel": "chat:r", "recover_since": positions[1]})
        assert (await user.push())["subscribe"]["offset"] == 2
        assert [((await user.push())["pub"]["offset"]) for _ in range(2)] == [3, 4]
        await bench.result("publish", {"channel": "chat:r", "data": 9})
        assert (await user.push())["pub"]["offset"] == 5

    run(shared, body, nodes=2)


def test_an_override_and_an_expiry_hold_for_the_subscription(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user("ann")
        call = {
            "user": "ann", "channel": "chat:o", "expire_at": time.time() + 1,
            "override": {"presence": {"value": False}, "force_recovery": {"value": False}, "unknown": {"value": True}},
        }  # fmt: skip
        await bench.result("subscribe", call)
        assert "recoverable" not in (await user.push())["subscribe"]
        assert await bench.result("presence", {"channel": "chat:o"}) == {"presence": {}}
        assert (await user.push())["unsubscribe"]["code"] == 2501

    run(shared, body)


def test_orders_for_one_client_are_carried_out_in_their_order(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        near, far = await bench.user("ann", 0), await bench.user("ann", 1)
        call = {"user": "ann", "channel": "chat:order"}
        commands = [{"subscribe": call}, {"unsubscribe": call}] * 10
        await bench.call("batch", {"commands": commands, "parallel": False})
        for user in (near, far):
            pushes = [await user.push() for _ in range(20)]
            assert [next(kind for kind in ("subscribe", "unsubscribe") if kind in push) for push in pushes] == [
                "subscribe", "unsubscribe",
            ] * 10  # fmt: skip
        await still_there(near, far)
        assert await bench.result("presence", {"channel": "chat:order"}) == {"presence": {}}

    run(shared, body, nodes=2)


def test_refresh(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        ann, bob, cid = await bench.user("ann", 1), await bench.user("bob", 1), await bench.user("cid", 1)
        await bench.cent.refresh(RefreshRequest(user="ann", expire_at=int(time.time()) + 100))
        assert (await ann.push())["refresh"]["expires"] is True
        await bench.result("refresh", {"user": "ann", "info": {"new": 1}})
        assert (await ann.push())["refresh"] == {}
        await ann.ask("subscribe", channel="chat:refresh")
        ((_, info),) = (await bench.result("presence", {"channel": "chat:refresh"}))["presence"].items()
        assert info["conn_info"] == {"new": 1}
        await bench.result("refresh", {"user": "bob", "expired": True})
        assert await bob.end() == 3005
        await bench.result("refresh", {"user": "cid", "expire_at": time.time() - 1})
        assert await cid.end() == 3005

    run(shared, body, nodes=2)


killed_or_not = pytest.mark.parametrize("killed", [False, True], ids=["moved", "node killed"])


@killed_or_not
def test_a_client_that_was_between_two_nodes_gets_the_orders_when_it_arrives(shared: Stack, killed: bool) -> None:
    async def body(bench: Bench) -> None:
        near, far = bench.servers
        user, other, third = await bench.user("ann", 1), await bench.user("bob", 1), await bench.user("cid", 1)
        ways = [Way(far, one, killed=killed) for one in (user, other, third)]
        for channel in ("chat:way-1", "chat:way-2"):
            await bench.result("subscribe", {"user": "ann", "channel": channel})
        await bench.result("disconnect", {"user": "bob", "client": "another one"})
        session = ways[2].session
        await bench.result("disconnect", {"session": session})
        await still_there(user, other, third)
        for way in ways:
            way.end(near)
        assert [(await user.push())["channel"] for _ in range(2)] == ["chat:way-1", "chat:way-2"]
        assert await third.end() == 3503
        await still_there(user, other)

    run(shared, body, nodes=2)


@killed_or_not
def test_what_a_client_had_before_is_not_repeated_where_it_arrives(shared: Stack, killed: bool) -> None:
    async def body(bench: Bench) -> None:
        near, far = bench.servers
        first = await bench.user("ann", 1)
        await bench.result("disconnect", {"user": "ann"})
        assert await first.end() == 3503
        user = await bench.user("ann", 1)
        await user.ask("subscribe", channel="own")
        await bench.result("unsubscribe", {"user": "ann", "channel": "own"})
        await bench.result("subscribe", {"user": "ann", "channel": "chat:back-end"})
        assert [(await user.push())["channel"] for _ in range(2)] == ["own", "chat:back-end"]
        await user.ask("unsubscribe", channel="chat:back-end")
        await user.ask("subscribe", channel="own")
        await still_there(user)
        for start, end in ((far, near), (near, far)):  # each move, not only the first
            Way(start, user, killed=killed).end(end)
            if killed:
                assert (await user.push())["unsubscribe"]["code"] == 2500
                await user.ask("subscribe", channel="own")
            await still_there(user)
        await bench.result("publish", {"channel": "own", "data": 1})
        assert (await user.push())["pub"]["data"] == 1
        assert await bench.result("presence", {"channel": "chat:back-end"}) == {"presence": {}}

    run(shared, body, nodes=2)


def test_an_order_that_waited_for_a_command_goes_along(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        near, far = bench.servers
        user = await bench.user("ann", 1)
        client = far.client(user)
        begun, may_end, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def long_command() -> None:
            begun.set()
            await may_end.wait()

        client.carry(long_command)
        await begun.wait()
        given = asyncio.create_task(bench.result("subscribe", {"user": "ann", "channel": "chat:waits"}))
        while not client.due_orders:
            await asyncio.sleep(0.01)
        assert client.finish(left.set)  # the move has begun
        may_end.set()
        await left.wait()
        way = Way(far, user)
        await given
        way.end(near)
        assert (await user.push())["channel"] == "chat:waits"
        await still_there(user)

    run(shared, body, nodes=2)


def test_an_order_just_after_an_arrival_is_carried_out_once(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        near, far = bench.servers
        user = await bench.user("ann", 1)
        way = Way(far, user)
        await bench.result("refresh", {"user": "ann", "info": {"n": 1}})
        await asyncio.sleep(QUIET)
        way.end(near)
        near.broker.on_control(encode(RefreshOrder(node=far.node.settings.id, user="ann", info=b'{"n": 2}')))
        for _ in range(2):
            assert "refresh" in await user.push()
        await still_there(user)
        assert near.client(user).info == b'{"n": 2}'

    run(shared, body, nodes=2)


def test_channels_are_counted_over_all_nodes(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        for node in (0, 1, 1):
            user = await bench.user("ann", node)
            for channel in ("chat:both", f"only-{node}"):
                await user.ask("subscribe", channel=channel)
        found = (await bench.cent.channels(ChannelsRequest())).channels
        assert {name: one.num_clients for name, one in found.items()} == {"chat:both": 3, "only-0": 1, "only-1": 2}
        for pattern, names in {"chat:*": ["chat:both"], "only-{1,2}": ["only-1"], "*-?": ["only-0", "only-1"]}.items():
            assert list((await bench.result("channels", {"pattern": pattern}))["channels"]) == names

    run(shared, body, nodes=2)


def test_info_is_of_every_node(shared: Stack) -> None:
    async def body(bench: Bench) -> None:
        for name in ("ann", "ann", "bob"):
            await (await bench.user(name, 1)).ask("subscribe", channel="x")
        started = asyncio.get_running_loop().time()
        near, far = (await bench.cent.info(InfoRequest())).nodes
        assert asyncio.get_running_loop().time() - started < surveys.PATIENCE / 2  # nobody is waited for in vain
        assert (near.uid, near.name, near.num_clients) == ("gateway-1", "gateway-1", 0)
        assert (far.uid, far.num_clients, far.num_users, far.num_subs, far.num_channels) == ("gateway-2", 3, 2, 3, 1)
        assert far.version == near.version != ""
        assert far.process is not None
        assert far.process.rss > 2**20

    run(shared, body, nodes=2)


def test_who_is_silent_is_not_waited_for_longer_than_a_second(
    shared: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(bench: Bench) -> None:
        bench.servers[1].broker.on_control = lambda data: None
        started = asyncio.get_running_loop().time()
        assert len((await bench.result("info"))["nodes"]) == 1
        assert 0.9 < asyncio.get_running_loop().time() - started < 2
        assert "nodes did not answer" in caplog.text

    run(shared, body, nodes=2)


def test_what_cannot_be_read_is_logged_once_and_dropped(shared: Stack, caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        user = await bench.user("ann")
        server = bench.servers[0]
        heard: list[bytes] = []
        Control(server.part.endpoint, server.node.started_at, {"emulation": heard.append})  # instead of the node's own
        broker = server.broker
        newer: dict[str, Any] = {"type": "newer", "node": "gateway-9"}
        for _ in range(3):
            for data in (b"", b"\xc1", b"\x91" * 5000, msgspec.msgpack.encode(newer)):
                await broker.tell(data)
            await broker.tell(encode(DisconnectOrder(node="gateway-9")))
            await broker.tell(encode(UnsubscribeOrder(node="gateway-9", user="ann", channel="nothing")))
        await still_there(user)
        dropped = [record for record in caplog.records if "was dropped" in record.message]
        assert len(dropped) == 3  # what has no kind, what is newer, and an order to everybody
        others = msgspec.msgpack.encode({"type": "emulation", "session": "s", "data": b"{}"})
        await broker.tell(others)
        await broker.tell(encode(DisconnectOrder(node="gateway-9", user="ann")))
        assert await user.end() == 3503
        assert heard == [others]

    with caplog.at_level(logging.WARNING):
        run(shared, body)
