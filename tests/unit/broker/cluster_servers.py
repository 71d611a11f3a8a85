"""A Redis Cluster of three masters, real ones, made by hand: `redis-cli` need not be there. And how slots move."""

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
from tests.unit.broker.redis_versions import EMBEDDED, RedisVersion
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

    def __init__(self, folder: Path, version: RedisVersion) -> None:
        version.check()
        folder.mkdir()
        self._folder, self._version = folder, version
        self.password: str | None = None
        self.port = _port()
        self.start()
        _until(self._answers, "a redis-server")
        self.id = bytes(self.ask("CLUSTER", "MYID")).decode()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self._version.binary, "--bind", HOST, "--port", str(self.port), "--dir", str(self._folder),
             "--save", "", "--appendonly", "no", "--cluster-enabled", "yes", "--cluster-node-timeout", "1000",
             "--cluster-require-full-coverage", "no", "--cluster-announce-ip", HOST,
             "--repl-diskless-sync-delay", "0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            env=self._version.environment,
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def ask(self, *command: str | int) -> Any:
        """Return the answer to a command."""
        with contextlib.closing(redis.Redis(
            host=HOST, port=self.port, protocol=2, socket_timeout=5, password=self.password
        )) as client:  # fmt: skip
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def knows(self, replica: "Master") -> bool:
        """Whether it has heard of another as a replica."""
        return any(port == replica.port for *_, (_, port, *_) in self.ask("CLUSTER", "SLOTS"))

    def healthy(self) -> bool:
        return self._answers() and "cluster_state:ok" in bytes(self.ask("CLUSTER", "INFO")).decode()


class ClusterServers:
    """Three masters, each with a third of the slots."""

    def __init__(self, folder: Path, *versions: RedisVersion) -> None:
        """`versions`: of each master, or of all if it is one; without, the one that comes with the package."""
        self.masters: list[Master] = []
        self._folder = folder
        try:
            for number, version in enumerate((versions or (EMBEDDED,)) * (1 if len(versions) == 3 else 3)):
                self.masters.append(Master(folder / str(number), version))
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

    def lock(self, password: str) -> None:
        """Let every master ask for a password."""
        for one in self.masters:
            one.ask("CONFIG", "SET", "requirepass", password)
            one.password = password

    def replica(self, master: Master, version: RedisVersion) -> Master:
        """Start a replica of a master, and return it when it follows."""
        made = Master(self._folder / "replica", version)
        self.masters.append(made)
        master.ask("CLUSTER", "MEET", HOST, made.port)
        _until(lambda: self._whole(made), "the replica's view")
        made.ask("CLUSTER", "REPLICATE", master.id)
        _until(lambda: made.ask("INFO", "replication").get("master_link_status") == "up", "the replication")
        # Those who have not heard of it would not vote for it.
        _until(lambda: all(one.knows(made) for one in self.masters), "everybody's view")
        return made

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


def move_begins(slot: int, source: Master, target: Master) -> None:
    target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)


def move_keys(slot: int, source: Master, target: Master, count: int = 100) -> None:
    for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, count):
        password = ("AUTH", target.password) if target.password else ()
        assert source.ask("MIGRATE", HOST, target.port, key.decode(), 0, 5000, *password) == b"OK"


def move_ends(slot: int, servers: ClusterServers, source: Master, target: Master) -> None:
    for one in (target, source, *servers.masters):
        one.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
