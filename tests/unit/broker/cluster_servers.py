"""A Redis Cluster of three masters, real ones, made by hand: `redis-cli` need not be there."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis
import redis.asyncio

from flux_gateway.broker.cluster import Cluster
from flux_gateway.broker.slots import SLOTS
from flux_gateway.registry.connect import RedisSettings, connect
from flux_gateway.supervisor.topology import redis_binary
from tests.unit.registry.server import HOST

_BUS = 10_000
"""The port of the cluster's bus is so much higher than that for clients."""


def _port() -> int:
    while True:
        with contextlib.suppress(OSError, OverflowError), socket.create_server((HOST, 0)) as one:
            port: int = one.getsockname()[1]
            with socket.create_server((HOST, port + _BUS)):
                return port


def _until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


class Master:
    """One redis-server of the cluster."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.port = _port()
        self.start()
        _until(self._answers, "a redis-server")
        self.id = bytes(self.ask("CLUSTER", "MYID")).decode()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [redis_binary("redis-server"), "--bind", HOST, "--port", str(self.port), "--dir", str(self._folder),
             "--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
             "--cluster-require-full-coverage", "no", "--cluster-announce-ip", HOST],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def ask(self, *command: str | int) -> Any:
        """Return the answer to a command."""
        with contextlib.closing(redis.Redis(host=HOST, port=self.port, protocol=2, socket_timeout=5)) as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def healthy(self) -> bool:
        return self._answers() and "cluster_state:ok" in bytes(self.ask("CLUSTER", "INFO")).decode()


class ClusterServers:
    """Three masters, each with a third of the slots."""

    def __init__(self, folder: Path) -> None:
        self.masters: list[Master] = []
        try:
            for number in range(3):
                self.masters.append(Master(folder / str(number)))
            self._join()
        except BaseException:
            self.__exit__()
            raise

    def _join(self) -> None:
        for number, master in enumerate(self.masters):
            first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3
            master.ask("CLUSTER", "ADDSLOTS", *range(first, last))
        for other in self.masters[1:]:
            self.masters[0].ask("CLUSTER", "MEET", HOST, other.port)
        _until(lambda: all(self._whole(one) for one in self.masters), "the cluster")

    def _whole(self, master: Master) -> bool:
        return master.healthy() and len(master.ask("CLUSTER", "SLOTS")) == 3

    def owner(self, slot: int) -> Master:
        """Return the master of a slot, as the first one sees it."""
        for first, last, (_, port, *_), *_ in self.masters[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in self.masters if one.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def cluster(self, *seeds: tuple[str, int]) -> Cluster:
        """Return how a broker reaches the cluster; without `seeds` by its first master."""

        def dial(host: str, port: int) -> redis.asyncio.Redis:
            return connect(RedisSettings(host=host, port=port, timeout=1.0))

        return Cluster(seeds or ((HOST, self.masters[0].port),), dial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.masters:
            one.process.kill()
            one.process.wait()
