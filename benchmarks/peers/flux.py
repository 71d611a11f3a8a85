"""Our own programs: Redis, one gateway node, one proxy, with their default settings."""

import json
import secrets
import sys
import time
import urllib.request
from pathlib import Path

from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.topology import redis_binary

_PATIENCE = 10.0


def redis(folder: Path) -> Process:
    """Start Redis without a disk."""
    host, port = addresses.REDIS
    argv = [redis_binary("redis-server"), "--bind", host, "--port", str(port), "--save", "", "--appendonly", "no"]
    return Process([*argv, "--dir", str(folder)], addresses.REDIS, folder / "redis.log", measured=False)


def gateway(folder: Path, *, measured: bool) -> Process:
    """Start a node, `measured` or as the backend of what is measured."""
    (host, port), (_, admin_port) = addresses.NODE, addresses.NODE_ADMIN
    argv = _command("gateway", folder, id="gateway-1", host=host, port=port, admin_port=admin_port)
    return Process([*argv, "--trusted-proxies", addresses.RELAYS], addresses.NODE, folder / "gateway.log", measured)


def proxy(folder: Path) -> Process:
    """Start the proxy. It has to find the node first: see `wait_routed`."""
    (host, port), (admin_host, admin_port) = addresses.PROXY, addresses.PROXY_ADMIN
    argv = _command("proxy", folder, id="proxy-1", host=host, port=port, admin_host=admin_host, admin_port=admin_port)
    # The load comes from few addresses.
    argv += ["--source", addresses.PROXY[0], "--max-connections-per-ip", "0"]
    return Process(argv, addresses.PROXY, folder / "proxy.log", measured=True)


def wait_routed() -> None:
    """Wait until the proxy routes to the node. Raises `CommandError` if it does not."""
    deadline = time.monotonic() + _PATIENCE
    host, port = addresses.PROXY_ADMIN
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"http://{host}:{port}/info", timeout=2) as answer:
            if any(node["usable"] for node in json.load(answer)["nodes"].values()):
                return
        time.sleep(0.05)
    raise CommandError("the proxy has not found the node; see its log")


def _command(program: str, folder: Path, **settings: str | int) -> list[str]:
    argv = [sys.executable, "-m", "flux_gateway", program, "--log-level", "warning"]
    token = folder / "token"
    if not token.exists():
        token.write_text(secrets.token_urlsafe(32))
    settings |= {"token-file": str(token), "redis-host": addresses.REDIS[0], "redis-port": addresses.REDIS[1]}
    for name, value in settings.items():
        argv += [f"--{name.replace('_', '-')}", str(value)]
    return argv
