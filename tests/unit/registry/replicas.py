"""A master, a replica and a Sentinel, real ones, with users and passwords: for fail-overs."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import redis

from flux_gateway.registry.connect import RedisSettings
from flux_gateway.supervisor.topology import redis_binary
from tests.unit.registry.server import HOST

USER, PASSWORD, SERVICE = "flux", "secret-of-the-tests", "flux"

_ACCESS = f"user {USER} on >{PASSWORD} ~* &* +@all\nuser default off\n"

_REPLICATION = f"masteruser {USER}\nmasterauth {PASSWORD}\n"


class Process:
    """One redis-server with a configuration of its own."""

    def __init__(self, folder: Path, name: str, port: int, *options: str) -> None:
        self.port = port
        file = folder / f"{name}.conf"
        self.log = folder / f"{name}.log"
        folder.joinpath(name).mkdir()
        file.write_text(
            f"bind {HOST}\nport {port}\ndir {folder / name}\n{_ACCESS}" + "".join(f"{o}\n" for o in options)
        )
        arguments = ["--sentinel"] if name == "sentinel" else ["--save", "", "--appendonly", "no"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [redis_binary("redis-server"), str(file), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ask(self, *command: str) -> object:
        """Return the answer to a command."""
        with contextlib.closing(
            redis.Redis(host=HOST, port=self.port, username=USER, password=PASSWORD, protocol=2)
        ) as client:
            answer: object = client.execute_command(*command)  # type: ignore[no-untyped-call]
            return answer

    def role(self) -> str:
        """Return `master`, `slave`, `sentinel`, or an empty string when it does not answer."""
        try:
            answer = self.ask("ROLE")
        except redis.RedisError:
            return ""
        return answer[0].decode() if isinstance(answer, list) else ""


class ReplicatedRedis:
    """One master, one replica, one Sentinel that needs nobody's agreement and waits half a second."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = free_ports(3)
        self.first = Process(folder, "first", ports[0], _REPLICATION)
        self.second = Process(folder, "second", ports[1], _REPLICATION, f"replicaof {HOST} {ports[0]}")
        until(lambda: self.first.role() == "master" and b"connected" in _state(self.second), "replication")
        self.sentinel = Process(
            folder, "sentinel", ports[2],
            f"sentinel monitor {SERVICE} {HOST} {ports[0]} 1",
            f"sentinel auth-user {SERVICE} {USER}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        )  # fmt: skip
        until(lambda: self.sentinel.role() == "sentinel" and self._knows_the_replica(), "the Sentinel")
        self.password_file = folder / "password"
        self.password_file.write_text(PASSWORD)

    def _knows_the_replica(self) -> bool:
        try:
            return bool(self.sentinel.ask("SENTINEL", "REPLICAS", SERVICE))
        except redis.RedisError:
            return False

    def settings(self, *more_sentinels: str) -> RedisSettings:
        """Return settings that know the Sentinel alone; `more_sentinels` are asked before it."""
        return RedisSettings(
            host="127.30.3.254", port=1, username=USER, password_file=str(self.password_file), timeout=1.0,
            heartbeat_interval=1.0, sentinels=(*more_sentinels, f"{HOST}:{self.sentinel.port}"),
            sentinel_service=SERVICE,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.sentinel, self.second, self.first):
            one.process.kill()
            one.process.wait()


def _state(replica: Process) -> bytes:
    try:
        answer = replica.ask("ROLE")
    except redis.RedisError:
        return b""
    return answer[3] if isinstance(answer, list) and len(answer) > 3 else b""


def free_ports(count: int) -> list[int]:
    """Return ports of which no two are the same."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for another program."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
