"""`registry.sentinel`: daemons, dashboard and commands follow a fail-over by themselves."""

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.membership import Snapshot
from flux_gateway.core.timeline import EventKind
from flux_gateway.registry import keys
from flux_gateway.registry.announcer import Announcer
from flux_gateway.registry.connect import RedisSettings, connect, connect_blocking
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.registry.registry import Registry
from flux_gateway.registry.sentinel import demoted, parse_address
from flux_gateway.registry.watch import RegistryWatch
from tests.unit.registry.replicas import ReplicatedRedis
from tests.unit.registry.replicas import until as wait_until
from tests.unit.registry.server import HOST
from tests.unit.registry.support import event, node, running, until

WITHIN = 8.0
"""Seconds for a fail-over and for everybody to follow: the Sentinel takes 0.5 s to notice, and some to act."""


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[ReplicatedRedis]:
    with ReplicatedRedis(tmp_path) as one:
        yield one


def test_addresses_are_host_and_port() -> None:
    assert parse_address("10.0.0.1:26379") == ("10.0.0.1", 26379)
    assert parse_address("[::1]:26379") == ("::1", 26379)
    for wrong in ("10.0.0.1", ":26379", "redis1:0", "redis1:x", ""):
        with pytest.raises(ValueError, match="not host:port"):
            RedisSettings(sentinels=(wrong,))


@pytest.mark.parametrize(("text", "meant"), [
    ("READONLY You can't write against a read only replica.", True),
    ("NOREPLICAS Not enough good replicas to write.", True),
    ("Error running script (call to f_1): @user_script:1: -READONLY You can't write against a read only", True),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
])  # fmt: skip
def test_answers_of_a_demoted_master_are_known(text: str, meant: bool) -> None:
    assert demoted(redis.ResponseError(text)) is meant


def test_announcer_watch_and_events_follow_when_the_master_is_killed(replicated: ReplicatedRedis) -> None:
    snapshots: list[Snapshot] = []

    async def main() -> None:
        registry = Registry(connect(replicated.settings(), source="127.30.3.9"), heartbeat_life=3.0)
        announcer = Announcer("gateway-1", registry, 1.0, lambda _: node(heartbeat_at=time.time()))
        watch = RegistryWatch(registry, 60.0, "proxy-1", snapshots.append)  # only events wake it up
        async with running(announcer.run(), watch.poll(), watch.follow()):
            await until(lambda: any("gateway-1" in snapshot.nodes for snapshot in snapshots) or _nudge(announcer))
            for server in (replicated.first, replicated.sentinel):
                assert b"addr=127.30.3.9:" in server.ask("CLIENT", "LIST")  # type: ignore[operator]
            replicated.first.process.send_signal(signal.SIGKILL)
            await until(lambda: announcer.available is False)
            await until(lambda: bool(announcer.available), WITHIN)
            seen = len(snapshots)
            # The subscription has moved, too: an event is a new snapshot at once, and the interval is a minute.
            await until(lambda: len(snapshots) > seen or _nudge(announcer), WITHIN)
            assert "gateway-1" in snapshots[-1].nodes
            assert "gateway-1" in snapshots[-1].heartbeat_age
        await registry.close()

    asyncio.run(main())
    assert replicated.second.role() == "master"


def _nudge(announcer: Announcer) -> bool:
    announcer.note(EventKind.JOINED)
    return False


def test_dashboard_and_commands_follow_when_the_master_is_killed(replicated: ReplicatedRedis) -> None:
    with contextlib.closing(RegistryReader(connect_blocking(replicated.settings()), heartbeat_life=3.0)) as reader:
        asyncio.run(_announce(replicated))
        wait_until(lambda: replicated.second.ask("HLEN", "gateway:nodes") == 1, "replication of the record")
        follower = reader.follow(0.05)
        assert next(follower) is None
        assert "gateway-1" in reader.snapshot().nodes
        replicated.first.process.kill()
        with pytest.raises(RegistryUnavailable):
            reader.snapshot()
        with pytest.raises(RegistryUnavailable):
            for _ in follower:
                pass

        def answers() -> bool:
            try:
                return "gateway-1" in reader.snapshot().nodes
            except RegistryUnavailable:
                return False

        wait_until(answers, "the reader follows", WITHIN)
        wait_until(lambda: replicated.second.role() == "master", "the fail-over")
        follower = reader.follow(0.05)
        assert next(follower) is None
        assert reader.forget("gateway-1", "flux")
        assert next(entry.kind for entry in follower if entry) is EventKind.FORGOTTEN


async def _announce(replicated: ReplicatedRedis) -> None:
    registry = Registry(connect(replicated.settings()), heartbeat_life=60.0)
    try:
        await registry.announce(node(), event())
    finally:
        await registry.close()


def test_a_demoted_master_is_left_with_the_next_write(replicated: ReplicatedRedis) -> None:
    """The switch a Sentinel makes kills the clients; here none does, and the answer alone has to be enough."""

    async def main() -> None:
        registry = Registry(connect(replicated.settings()), heartbeat_life=60.0)
        await registry.announce(node(), event())
        replicated.first.ask("REPLICAOF", HOST, str(replicated.second.port))
        replicated.second.ask("REPLICAOF", "NO", "ONE")
        with pytest.raises(RegistryUnavailable, match=r"now a (replica|slave)"):
            await registry.announce(node(), event())
        with pytest.raises(RegistryUnavailable, match=r"now a (replica|slave)"):
            await registry.say(event())
        assert b"name= " not in _peers(replicated)
        await registry.close()

    def _peers(one: ReplicatedRedis) -> bytes:
        listed = one.first.ask("CLIENT", "LIST", "TYPE", "normal")
        assert isinstance(listed, bytes)
        # The one that asks is among them; nobody else is connected to the former master any more.
        return b"\n".join(line for line in listed.splitlines() if b"cmd=client" not in line)

    asyncio.run(main())


def test_a_blocking_client_leaves_a_demoted_master_too(replicated: ReplicatedRedis) -> None:
    with contextlib.closing(RegistryReader(connect_blocking(replicated.settings()), heartbeat_life=60.0)) as reader:
        asyncio.run(_announce(replicated))
        replicated.first.ask("REPLICAOF", HOST, str(replicated.second.port))
        with pytest.raises(RegistryUnavailable, match=r"now a (replica|slave)"):
            reader.forget("gateway-1", "flux")


def test_a_sentinel_that_is_away_is_passed_over(replicated: ReplicatedRedis) -> None:
    with socket.create_server((HOST, 0)) as silent:
        settings = replicated.settings(f"{HOST}:1", f"{HOST}:{silent.getsockname()[1]}")
        settings = msgspec.structs.replace(settings, timeout=0.3)
        with contextlib.closing(RegistryReader(connect_blocking(settings), heartbeat_life=3.0)) as reader:
            assert reader.snapshot().nodes == {}

        async def read() -> None:
            registry = Registry(connect(settings), heartbeat_life=3.0)
            assert (await registry.snapshot()).nodes == {}
            await registry.close()

        asyncio.run(read())


def test_without_any_sentinel_the_registry_is_unavailable_and_says_why() -> None:
    settings = RedisSettings(sentinels=(f"{HOST}:1",), sentinel_service="flux", timeout=0.3)
    with contextlib.closing(RegistryReader(connect_blocking(settings), heartbeat_life=3.0)) as reader:
        with pytest.raises(RegistryUnavailable, match="No master found for 'flux'"):
            reader.snapshot()
        with pytest.raises(RegistryUnavailable, match="No master found for 'flux'"):
            next(reader.follow(0.1))

    async def read() -> None:
        registry = Registry(connect(settings), heartbeat_life=3.0)
        for call in (registry.snapshot(), registry.announce(node()), anext(registry.events())):
            with pytest.raises(RegistryUnavailable, match="No master found for 'flux'"):
                await call
        await registry.close()

    asyncio.run(read())


def test_a_subscription_to_a_master_that_hangs_is_given_up(replicated: ReplicatedRedis) -> None:
    heard = threading.Event()

    async def main() -> None:
        registry = Registry(connect(replicated.settings()), heartbeat_life=3.0)
        follower = asyncio.ensure_future(anext(registry.events()))
        await until(lambda: replicated.first.ask("PUBSUB", "NUMSUB", keys.EVENTS) == [keys.EVENTS.encode(), 2])
        replicated.first.process.send_signal(signal.SIGSTOP)
        with pytest.raises(RegistryUnavailable, match="silent"):
            await asyncio.wait_for(follower, 12)
        await registry.close()

    with contextlib.closing(RegistryReader(connect_blocking(replicated.settings()), heartbeat_life=3.0)) as reader:
        blocking = reader.follow(0.1)
        assert next(blocking) is None

        def follow() -> None:
            with pytest.raises(RegistryUnavailable, match="silent"):
                for _ in blocking:
                    pass
            heard.set()

        thread = threading.Thread(target=follow)
        thread.start()
        asyncio.run(main())
        assert heard.wait(5)
        thread.join()
