"""Real programs for tests: redis-server, gateways and proxies, each a process on a loopback address of its own.

    with Stack(tmp_path) as stack:
        stack.redis()
        node = stack.gateway(outbox_limit=65536)
        proxy = stack.proxy()

Everything started is ended with the `with` block, also when the test failed.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

T = TypeVar("T")

TOKEN = "token-of-the-tests-0123456789"
HEARTBEAT = 0.3
"""Seconds between heartbeats; a member is dead after three of them."""

PORT, ADMIN_PORT, PROXY_PORT, REDIS_PORT = 7000, 7100, 8080, 6379


def until(condition: Callable[[], T], what: str, seconds: float = 10.0) -> T:
    """Ask again and again until the condition is true, and return what it returned; fail after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what} (last: {value!r})")
        time.sleep(0.02)


class Process:
    """One running program, with its log in a file."""

    def __init__(self, name: str, argv: list[str], log: Path, files: int = 0) -> None:
        self.name, self.log, self._argv, self._files = name, log, argv, files
        self._popen = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=self._limit if self._files else None,
            )  # fmt: skip

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._files, self._files))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = 10.0) -> int:
        """Return its exit status; fail when it goes on for longer."""
        return self._popen.wait(seconds)

    def end(self) -> None:
        """End it at once, whatever it does."""
        if self.running:
            self._popen.kill()
        self._popen.wait()

    def restart(self) -> None:
        """Start it again after it has ended."""
        assert not self.running
        self._popen = self._start()

    def said(self) -> str:
        """Return all of its log."""
        return self.log.read_text()


class Daemon(Process):
    """A gateway or a proxy: it has an admin port, too."""

    def __init__(
        self, name: str, argv: list[str], log: Path, *, address: tuple[str, int], admin: tuple[str, int], files: int = 0
    ) -> None:
        super().__init__(name, argv, log, files)
        self.address, self.admin = address, admin

    @property
    def url(self) -> str:
        """Where clients connect, without a path."""
        return f"ws://{self.address[0]}:{self.address[1]}"

    def get(self, path: str) -> tuple[int, Any]:
        """GET from the admin port: status and decoded JSON (or the text)."""
        return self._ask(Request(f"http://{self.admin[0]}:{self.admin[1]}{path}"))

    def post(self, path: str, token: str = TOKEN) -> tuple[int, Any]:
        """POST to the admin port, by default with the cluster's token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._ask(
            Request(f"http://{self.admin[0]}:{self.admin[1]}{path}", method="POST", data=b"", headers=headers)
        )

    @staticmethod
    def _ask(request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=5) as answer:
                status, body = answer.status, answer.read()
        except HTTPError as error:
            with error:
                status, body = error.code, error.read()
        return status, json.loads(body) if body[:1] == b"{" else body.decode()

    def info(self) -> dict[str, Any]:
        """Return `/info`."""
        found: dict[str, Any] = self.get("/info")[1]
        return found

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name with these labels; 0 when there are none."""
        samples = [
            sample
            for family in text_string_to_metric_families(self.get("/metrics")[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(sample.value for sample in samples)

    def ready(self) -> bool:
        """Whether `/readyz` says 200; False also when nobody answers."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self, seconds: float = 20.0) -> Self:
        """Wait until it is ready; fail with its log when it ended."""
        def judge() -> bool:
            assert self.running, f"{self.name} ended:\n{self.said()}"
            return self.ready()

        until(judge, f"{self.name} ready", seconds)
        return self

    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * resource.getpagesize()


class Stack:
    """The processes of one test or module, on loopback addresses 127.<network>.x.y that nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[Process] = []
        self._lock, self.network = _free_network()
        self.nodes: list[Daemon] = []
        self.proxies: list[Daemon] = []
        self.token_file = folder / "token"
        self.token_file.write_text(TOKEN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            process.end()
        self._lock.close()

    def host(self, third: int, fourth: int) -> str:
        """Return one of the stack's loopback addresses: 1 for gateways, 2 proxies, 3 Redis, 9 clients."""
        return f"127.{self.network}.{third}.{fourth}"

    def redis(self) -> Process:
        """Start Redis, without anything on disk, and wait until it answers."""
        argv = [
            _redis_server(), "--bind", self.host(3, 1), "--port", str(REDIS_PORT), "--save", "", "--appendonly", "no",
            "--dir", str(self._folder),
        ]  # fmt: skip
        process = Process("redis", argv, self._folder / "redis.log")
        self._processes.append(process)
        until(lambda: connects((self.host(3, 1), REDIS_PORT)), "Redis listens")
        return process

    def registry(self) -> Redis:
        """Return a client of the Redis that this stack runs; close it, or use it as a context manager."""
        return Redis(host=self.host(3, 1), port=REDIS_PORT, decode_responses=True)

    def gateway(self, *, wait: bool = True, **flags: Any) -> Daemon:
        """Start the next gateway: gateway-1, gateway-2, ... A flag `outbox_limit=1` is `--outbox-limit 1`."""
        number = len(self.nodes) + 1
        host = self.host(1, number)
        values = {"id": f"gateway-{number}", "host": host, "trusted_proxies": self.host(2, 0) + "/24"}
        node = self._daemon("gateway", values | flags, (host, PORT), (host, ADMIN_PORT))
        self.nodes.append(node)
        return node.wait_ready() if wait else node

    def proxy(self, *, wait: bool = True, files: int = 0, **flags: Any) -> Daemon:
        """Start the next proxy. `files` limits how many files it may open."""
        number = len(self.proxies) + 1
        host = self.host(2, number)
        values = {
            "id": f"proxy-{number}", "host": host, "admin_host": host, "source": host, "snapshot_interval": 0.3,
        }  # fmt: skip
        address = (str(flags.get("host", host)), PROXY_PORT)
        proxy = self._daemon("proxy", values | flags, address, (host, PROXY_PORT + 1), files)
        self.proxies.append(proxy)
        if wait:
            proxy.wait_ready()
            until(lambda: len(usable(proxy)) == sum(node.running for node in self.nodes), "all links up")
        return proxy

    def _daemon(
        self, kind: str, flags: dict[str, Any], address: tuple[str, int], admin: tuple[str, int], files: int = 0
    ) -> Daemon:
        values = {"redis_host": self.host(3, 1), "redis_heartbeat_interval": HEARTBEAT, "token_file": self.token_file}
        argv = [sys.executable, "-m", "flux_gateway", kind]
        for name, value in (values | flags).items():
            argv += [f"--{name.replace('_', '-')}", str(value)]
        log = self._folder / f"{flags['id']}.log"
        daemon = Daemon(str(flags["id"]), argv, log, address=address, admin=admin, files=files)
        self._processes.append(daemon)
        return daemon


def usable(proxy: Daemon) -> list[str]:
    """Return the ids of the nodes a proxy sends new clients to."""
    return [node_id for node_id, node in proxy.info()["nodes"].items() if node["usable"]]


def connects(address: tuple[str, int]) -> bool:
    """Tell whether somebody listens there."""
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def _redis_server() -> str:
    beside = Path(sys.executable).parent / "redis-server"
    found = shutil.which("redis-server") or (str(beside) if beside.exists() else None)
    assert found is not None, "redis-server is neither on PATH nor in the environment: install the extra [embedded]"
    return found


def _free_network() -> tuple[socket.socket, int]:
    """Return a second octet from 20 to 29 that no other test process uses, and the socket that says so."""
    for attempt in range(10):
        network = 20 + (os.getpid() + attempt) % 10
        lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            lock.bind((f"127.{network}.0.1", REDIS_PORT))
        except OSError:
            lock.close()
        else:
            return lock, network
    raise AssertionError("all ten networks of the tests are in use")
