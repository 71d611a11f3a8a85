"""`registry.registry` against a real Redis: announce, read, declare dead, follow."""

import asyncio
import time

import msgspec
import pytest

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.timeline import EventKind
from flux_gateway.registry import keys
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import event, node, proxy, reader, registry, running, until


def test_what_is_announced_is_read_back_as_it_was(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one, registry(server) as other:
            assert await one.announce(node(weight=0.1, connections=3)) is None
            assert await one.announce(proxy()) is None
            snapshot = await other.snapshot()
            assert snapshot.nodes == {"gateway-1": node(weight=0.1, connections=3)}
            assert snapshot.proxies == {"proxy-1": proxy()}
            assert set(snapshot.heartbeat_age) == {"gateway-1", "proxy-1"}
            assert all(0 <= age < 1 for age in snapshot.heartbeat_age.values())
            assert reader(server).snapshot().nodes == snapshot.nodes

    asyncio.run(main())


def test_redis_cli_sees_the_record_and_the_heartbeat_under_the_promised_names(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node())

    asyncio.run(main())
    client = server.client()
    assert msgspec.json.decode(client.hgetall("gateway:nodes")[b"gateway-1"]) == msgspec.to_builtins(node())
    assert 14_000 < client.pttl("gateway:heartbeat:gateway-1") <= 15_000
    client.close()


def test_announce_returns_the_record_that_stood_there_before(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node())
            assert await one.announce(node(state=NodeState.DRAINING)) == node()
            assert await one.announce(node()) == node(state=NodeState.DRAINING)

    asyncio.run(main())


@pytest.mark.parametrize("state", [NodeState.STOPPED, NodeState.DEAD])
def test_a_member_that_says_it_is_gone_has_no_heartbeat_but_stays_visible(
    server: RedisServer, state: NodeState
) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node())
            await one.announce(node(state=state))
            snapshot = await one.snapshot()
            assert snapshot.nodes["gateway-1"].state is state
            assert snapshot.heartbeat_age == {}

    asyncio.run(main())


def test_members_come_in_the_order_people_count(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            for number in (10, 9, 1, 2):
                await one.announce(node(f"gateway-{number}"))
            assert list((await one.snapshot()).nodes) == ["gateway-1", "gateway-2", "gateway-9", "gateway-10"]

    asyncio.run(main())


def test_an_empty_registry_is_an_empty_snapshot(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node())
            server.flush()
            snapshot = await one.snapshot()
            assert (snapshot.nodes, snapshot.proxies, snapshot.heartbeat_age) == ({}, {}, {})

    asyncio.run(main())


def test_an_unreadable_record_makes_the_whole_view_unavailable(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node())
            client = server.client()
            client.hset(keys.NODES, "gateway-2", "{")
            client.close()
            with pytest.raises(RegistryUnavailable, match="gateway-2"):
                await one.snapshot()

    asyncio.run(main())


def test_of_many_observers_exactly_one_declares_a_member_dead(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server, life=0.05) as member, registry(server) as witness:
            await member.announce(node())
            await member.announce(proxy())
            await witness.announce(node("gateway-2"))
            await asyncio.sleep(0.1)
            snapshot = await witness.snapshot()
            assert set(snapshot.heartbeat_age) == {"gateway-2"}
            answers = await asyncio.gather(*(witness.declare_dead(snapshot, f"proxy-{n}") for n in range(20)))
            assert sorted(name for names in answers for name in names) == ["gateway-1", "proxy-1"]
            after = await witness.snapshot()
            assert after.nodes["gateway-1"].state is NodeState.DEAD
            assert after.proxies["proxy-1"].state is NodeState.DEAD
            assert after.nodes["gateway-2"].state is NodeState.UP
            assert await witness.declare_dead(after, "proxy-9") == []
            dead = [entry.subject for entry in reader(server).timeline() if entry.kind is EventKind.DEAD]
            assert sorted(dead) == ["gateway-1", "proxy-1"]

    asyncio.run(main())


def test_a_member_that_came_back_is_not_overruled_by_who_saw_it_gone(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server, life=0.05) as member, registry(server) as witness:
            await member.announce(node())
            await asyncio.sleep(0.1)
            old = await witness.snapshot()
            await witness.announce(node())  # the same record, and a heartbeat
            assert await witness.declare_dead(old, "proxy-1") == []
            await member.announce(node(started_at=2.0))  # another incarnation, and soon no heartbeat
            await asyncio.sleep(0.1)
            assert await witness.declare_dead(old, "proxy-1") == []
            assert (await witness.snapshot()).nodes["gateway-1"].state is NodeState.UP

    asyncio.run(main())


def test_a_member_that_was_taken_for_dead_learns_of_it_and_is_up_again(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server, life=0.05) as member, registry(server) as witness:
            await member.announce(node())
            await asyncio.sleep(0.1)
            await witness.declare_dead(await witness.snapshot(), "proxy-1")
            before = await member.announce(node())
            assert before is not None
            assert before.state is NodeState.DEAD
            assert (await witness.snapshot()).nodes["gateway-1"].state is NodeState.UP

    asyncio.run(main())


def test_events_are_heard_by_every_follower_at_once_and_kept_newest_first(server: RedisServer) -> None:
    async def main() -> None:
        heard: list[list[str]] = [[], []]

        async def follow(number: int) -> None:
            async with registry(server) as one:
                async for entry in one.events():
                    heard[number].append(entry.detail)

        async with registry(server) as one, running(follow(0), follow(1)):
            client = server.client()
            await until(lambda: client.pubsub_numsub(keys.EVENTS) == [(keys.EVENTS.encode(), 2)])
            client.publish(keys.EVENTS, "not an event")
            await one.announce(node(), event(detail="a"))
            await one.say(event(EventKind.SUSPECT, detail="b"))
            assert await until(lambda: heard == [["a", "b"]] * 2) < 1
            client.close()
        assert [entry.detail for entry in reader(server).timeline()] == ["b", "a"]

    asyncio.run(main())


def test_samples_of_a_node_are_kept_oldest_first_and_trimmed(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            await one.announce(node(connections=-1))  # no sample
            for number in range(400):
                await one.announce(node(connections=number), history=100)

    asyncio.run(main())
    samples = [record.connections for record in reader(server).history("gateway-1")]
    assert samples == list(range(400 - len(samples), 400))
    assert 100 <= len(samples) <= 200  # Redis trims whole blocks of at most 100
    assert reader(server).history("gateway-2") == []


def test_the_time_line_is_trimmed(server: RedisServer) -> None:
    async def main() -> None:
        async with registry(server) as one:
            for _ in range(13):
                await asyncio.gather(*(one.say(event()) for _ in range(100)))

    asyncio.run(main())
    client = server.client()
    assert keys.TIMELINE_LENGTH <= client.xlen(keys.TIMELINE) < keys.TIMELINE_LENGTH + 100
    client.close()


def test_without_redis_every_call_fails_quickly(own_server: RedisServer) -> None:
    async def main() -> None:
        async with registry(own_server) as one:
            await one.announce(node())
            snapshot = await one.snapshot()
            own_server.stop()
            calls = [one.announce(node()), one.snapshot(), one.say(event()), anext(one.events()),
                     one.declare_dead(msgspec.structs.replace(snapshot, heartbeat_age={}), "x")]
            for call in calls:
                started = time.monotonic()
                with pytest.raises(RegistryUnavailable):
                    await call
                assert time.monotonic() - started < 1.0
            own_server.start()
            assert (await one.snapshot()).nodes == {}

    asyncio.run(main())


def test_a_follower_is_told_when_redis_goes_away(own_server: RedisServer) -> None:
    async def main() -> None:
        async with registry(own_server) as one:
            follower = asyncio.ensure_future(anext(one.events()))
            client = own_server.client()
            await until(lambda: client.pubsub_numsub(keys.EVENTS)[0][1] == 1)
            client.close()
            own_server.stop()
            with pytest.raises(RegistryUnavailable):
                await asyncio.wait_for(follower, 2)

    asyncio.run(main())


def test_a_member_of_a_newer_version_can_be_declared_dead_too(server: RedisServer) -> None:
    async def main() -> None:
        client = server.client()
        newer = msgspec.to_builtins(node()) | {"colour": "red"}
        client.hset(keys.NODES, "gateway-1", msgspec.json.encode(newer))
        client.close()
        async with registry(server) as witness:
            assert await witness.declare_dead(await witness.snapshot(), "proxy-1") == ["gateway-1"]

    asyncio.run(main())
