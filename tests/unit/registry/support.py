"""Shared by the registry's tests: records, registries that are closed at the end, waiting for a condition."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry.connect import connect
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.registry.registry import Registry
from tests.unit.registry.server import RedisServer


def node(name: str = "gateway-1", **changes: Any) -> NodeRecord:
    record = NodeRecord(id=name, host="127.0.1.1", port=7000, admin_port=7100, state=NodeState.UP, started_at=1.25)
    return msgspec.structs.replace(record, **changes)


def proxy(name: str = "proxy-1", **changes: Any) -> ProxyRecord:
    record = ProxyRecord(
        id=name, host="127.0.0.1", port=8080, admin_host="127.0.2.1", admin_port=8081, state=NodeState.UP,
        links={"gateway-2": "up", "gateway-1": "down"},
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def event(kind: EventKind = EventKind.JOINED, subject: str = "gateway-1", detail: str = "") -> Event:
    return Event(at=1.5, kind=kind, subject=subject, by=subject, detail=detail)


@asynccontextmanager
async def registry(server: RedisServer, life: float = 15.0) -> AsyncIterator[Registry]:
    made = Registry(connect(server.settings()), heartbeat_life=life)
    try:
        yield made
    finally:
        await made.close()


def reader(server: RedisServer, life: float = 15.0) -> RegistryReader:
    return RegistryReader(server.client(), heartbeat_life=life)


@asynccontextmanager
async def running(*works: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless work beside the block; what it raises fails the test."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait until the condition holds; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not come to pass"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
