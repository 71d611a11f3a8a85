"""`registry.reader` against a real Redis: forget and follow."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry import keys
from flux_gateway.registry.reader import RegistryReader
from tests.unit.registry.server import RedisServer
from tests.unit.registry.support import event, node, proxy, reader, registry


@pytest.fixture
def members(server: RedisServer) -> Iterator[RegistryReader]:
    """A reader of a registry with two nodes and a proxy."""

    async def announce() -> None:
        async with registry(server) as one:
            for record in (node(), node("gateway-2"), proxy()):
                await one.announce(record, history=10)

    asyncio.run(announce())
    with closing(reader(server)) as one:
        yield one


def test_a_forgotten_node_leaves_nothing_but_an_event(server: RedisServer, members: RegistryReader) -> None:
    assert members.forget("gateway-1", "flux")
    snapshot = members.snapshot()
    assert set(snapshot.nodes) == {"gateway-2"}
    assert set(snapshot.heartbeat_age) == {"gateway-2", "proxy-1"}
    assert members.history("gateway-1") == []
    (told,) = members.timeline()
    assert (told.kind, told.subject, told.by) == (EventKind.FORGOTTEN, "gateway-1", "flux")
    with closing(server.client()) as client:
        assert not any(b"gateway-1" in key for key in client.scan_iter())


def test_a_proxy_can_be_forgotten_too(members: RegistryReader) -> None:
    assert members.forget("proxy-1", "flux")
    assert members.snapshot().proxies == {}


def test_who_was_never_there_cannot_be_forgotten(members: RegistryReader) -> None:
    assert not members.forget("gateway-9", "flux")
    assert members.timeline() == []


def test_the_time_line_can_be_cut_to_the_newest(server: RedisServer) -> None:
    async def say() -> None:
        async with registry(server) as one:
            for detail in "abc":
                await one.say(event(detail=detail))

    asyncio.run(say())
    with closing(reader(server)) as one:
        assert [entry.detail for entry in one.timeline(2)] == ["c", "b"]


def test_follow_yields_events_at_once_and_none_after_silence(server: RedisServer, members: RegistryReader) -> None:
    follower: Iterator[Event | None] = members.follow(0.1)
    assert next(follower) is None

    def forget() -> None:
        with closing(reader(server)) as one:
            one.forget("gateway-2", "flux")

    thread = threading.Thread(target=forget)
    thread.start()
    heard = next(entry for entry in follower if entry is not None)
    thread.join()
    assert (heard.kind, heard.subject) == (EventKind.FORGOTTEN, "gateway-2")


def test_other_programs_words_on_the_channel_are_no_events(server: RedisServer, members: RegistryReader) -> None:
    follower = members.follow(0.1)
    assert next(follower) is None
    with closing(server.client()) as client:
        client.publish(keys.EVENTS, "hello")
    assert next(follower) is None


def test_without_redis_every_call_fails_quickly(own_server: RedisServer) -> None:
    with closing(reader(own_server)) as one:
        follower = one.follow(0.05)
        assert next(follower) is None
        own_server.stop()
        calls = (one.snapshot, one.timeline, lambda: one.history("x"), lambda: one.forget("x", "y"),
                 lambda: [next(follower) for _ in range(3)])  # fmt: skip
        for call in calls:
            started = time.monotonic()
            with pytest.raises(RegistryUnavailable, match="Redis does not answer"):
                call()
            assert time.monotonic() - started < 1.0
