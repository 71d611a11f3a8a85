"""How the tests of the engine drive it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from websockets.asyncio.server import ServerConnection

from flux_gateway.load import Load, LoadPlan, Report
from tests.unit.load.servers import Server

Main = Callable[[], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]
"""The fixture `run`."""

CLIENTS = 3


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def drive(server: Server, until: Callable[[Load], bool], **values: Any) -> Report:
    """Run `CLIENTS` clients at 200 messages/s until the condition holds, and return the report."""
    plan: dict[str, Any] = {"clients": CLIENTS, "rate": 200.0, "ramp": 1e4, "grace": 0.3, "prefix": "t"} | values
    load = Load(LoadPlan(url=server.url, **plan))
    await load.start()
    try:
        async with asyncio.timeout(20):
            while not until(load):
                await asyncio.sleep(0.005)
    finally:
        report = await load.stop()
    return report


def received(count: int) -> Callable[[Load], bool]:
    return lambda load: load.counts().received >= count
