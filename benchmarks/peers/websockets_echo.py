"""The `websockets` library's own asyncio server as an echo server: the other gateway."""

import asyncio
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from benchmarks.peers import addresses
from benchmarks.peers.process import Process


def websockets_echo(folder: Path) -> Process:
    """Start the server."""
    argv = [sys.executable, "-m", "benchmarks.peers.websockets_echo"]
    return Process(argv, addresses.WEBSOCKETS, folder / "websockets.log", measured=True)


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def _main() -> None:
    host, port = addresses.WEBSOCKETS
    # Without compression, like our node; pings as our node sends them.
    async with serve(_echo, host, port, compression=None, ping_interval=25, ping_timeout=10, backlog=4096):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_main())
