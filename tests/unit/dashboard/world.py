"""A real Redis, and members in it, for tests of the dashboard."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import redis

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry import keys
from flux_gateway.registry.connect import RedisSettings, connect
from flux_gateway.registry.registry import Registry

LONG_INTERVAL = 60.0
"""Heartbeats of tests live three minutes: who dies does so because the test says it."""


def free_port() -> int:
    """Return a loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def redis_binary() -> str | None:
    """Return the path of a redis-server, None where there is none."""
    beside = Path(sys.executable).parent / "redis-server"
    return shutil.which("redis-server") or (str(beside) if beside.exists() else None)


class RedisServer:
    """A redis-server of its own on loopback. `stop` and `start` keep the port; nothing is saved."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary = binary
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with redis.Redis(port=self.port) as client:
            wait_for(lambda: _answers(client), "redis-server does not answer")

    def stop(self) -> None:
        """Stop it; a second call does nothing."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()
        self._process = None

    def hang(self) -> None:
        """Let it keep its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    @property
    def settings(self) -> RedisSettings:
        """How to reach it."""
        return RedisSettings(port=self.port, timeout=0.5, heartbeat_interval=LONG_INTERVAL)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def wait_for(condition: Callable[[], object], why: str, patience: float = 10.0) -> None:
    """Return as soon as `condition()` is true; fail with `why` after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


class Members:
    """Writes nodes, proxies and events as the programs do: through `Registry`."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self.nodes: dict[str, NodeRecord] = {}

    def node(self, node_id: str, kind: EventKind | None = None, **changes: object) -> NodeRecord:
        """Announce a node with what changed since the last time, with an event of `kind` if given."""
        number = int(node_id.rpartition("-")[2])
        record = self.nodes.get(node_id) or NodeRecord(
            id=node_id,
            host="127.0.0.1",
            port=7000 + number,
            admin_port=7100,
            state=NodeState.UP,
            version="1.2.3",
            connections=10 * number,
            started_at=time.time() - 100,
            rss=50 * 2**20,
            cpu=12.5,
            messages_in=100.0,
            messages_out=400.0,
        )
        record = msgspec.structs.replace(record, **{"heartbeat_at": time.time(), **changes})
        self.nodes[node_id] = record
        self._announce(record, kind)
        return record

    def proxy(self, proxy_id: str, **changes: object) -> ProxyRecord:
        """Announce a proxy."""
        record = ProxyRecord(
            id=proxy_id,
            host="127.0.0.1",
            port=8080,
            admin_host="127.0.0.1",
            admin_port=8081,
            state=NodeState.UP,
            connections=sum(node.connections for node in self.nodes.values()),
            heartbeat_at=time.time(),
            links=dict.fromkeys(self.nodes, "up"),
            nodes={node.id: node.connections for node in self.nodes.values()},
        )
        record = msgspec.structs.replace(record, **changes)
        self._announce(record, None)
        return record

    def past(self, node_id: str, seconds: int) -> None:
        """Write a node's samples of the last `seconds`, one each five."""
        record = self.nodes[node_id]
        with redis.Redis(port=self._server.port) as client:
            client.delete(keys.history(node_id))
            now = time.time()
            for ago in range(seconds, 0, -5):
                sample = msgspec.structs.replace(record, heartbeat_at=now - ago, connections=ago)
                entry = {"record": msgspec.json.encode(sample)}
                client.xadd(keys.history(node_id), entry, id=f"{int((now - ago) * 1000)}-0")

    def lose_heartbeat(self, node_id: str) -> None:
        """Let the heartbeat run out, as after a kill."""
        with redis.Redis(port=self._server.port) as client:
            client.delete(keys.heartbeat(node_id))

    def _announce(self, record: NodeRecord | ProxyRecord, kind: EventKind | None) -> None:
        event = Event(at=time.time(), kind=kind, subject=record.id, by=record.id) if kind else None

        async def announce() -> None:
            settings = self._server.settings
            registry = Registry(connect(settings), heartbeat_life=settings.heartbeat_life)
            try:
                await registry.announce(record, event, history=180 if isinstance(record, NodeRecord) else 0)
            finally:
                await registry.close()

        # In a thread of its own: Playwright keeps a loop running in the thread of the test.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, announce()).result()
