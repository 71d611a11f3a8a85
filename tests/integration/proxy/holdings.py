"""What a proxy holds: clients, sockets, moves, and what its keeper keeps of it. Nothing of that may stay behind."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from flux_gateway.keeper.link import count
from tests.processes import PORT, PROXY_PORT, Daemon, Process, until


class Keeper(Process):
    """A keeper, with its socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keeper" / "k.sock"
        argv = [sys.executable, "-m", "flux_gateway", "keeper", "--socket", str(self.path)]
        super().__init__("keeper", argv, folder / "keeper.log")

    def count(self) -> int:
        """Return how many connections it keeps; -1 while it does not answer."""
        try:
            return asyncio.run(count(str(self.path)))
        except OSError:
            return -1

    def wait_ready(self) -> None:
        """Wait until it answers."""
        until(lambda: self.count() >= 0, "the keeper answers")


@contextmanager
def keeper(folder: Path) -> Iterator[Keeper]:
    """Run a keeper."""
    process = Keeper(folder)
    try:
        process.wait_ready()
        yield process
    finally:
        process.end()


class Holdings(NamedTuple):
    """How many there are of each."""

    clients: int
    """By the proxy's own account."""
    client_sockets: int
    node_sockets: int
    """Connections to the client ports of nodes, also those that are only being dialled."""
    moves: int
    """Asked for or under way."""
    kept: int
    """Connections in the keeper."""


NOTHING = Holdings(0, 0, 0, 0, 0)


def holdings(proxy: Daemon, keeper: Keeper | None = None) -> Holdings:
    """Look, by the kernel's own account where that is possible."""
    sockets = psutil.Process(proxy.pid).net_connections("tcp")
    return Holdings(
        clients=proxy.info()["connections"],
        client_sockets=sum(
            one.status != psutil.CONN_LISTEN and bool(one.laddr) and one.laddr.port == PROXY_PORT for one in sockets
        ),
        node_sockets=sum(bool(one.raddr) and one.raddr.port == PORT for one in sockets),
        moves=proxy.get("/rebalance")[1]["moving"],
        kept=keeper.count() if keeper is not None else 0,
    )


def wait_for_holdings(expected: Holdings, proxy: Daemon, keeper: Keeper | None = None, seconds: float = 10) -> None:
    """Wait until the proxy holds exactly this."""
    found: list[Holdings] = []

    def same() -> bool:
        found[:] = [holdings(proxy, keeper)]
        return found[0] == expected

    try:
        until(same, "", seconds)
    except AssertionError:
        raise AssertionError(f"the proxy holds {found}, expected was {expected}") from None
