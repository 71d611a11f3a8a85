"""Our own programs: Redis, a gateway node, a proxy, with their default settings."""

import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError
from flux_gateway.runtime import admin_client
from flux_gateway.supervisor.topology import redis_binary

_PATIENCE = 10.0

_GATEWAY_ADMIN, _PROXY_ADMIN = 7100, 8081


def redis(folder: Path) -> Process:
    """Start Redis without a disk."""
    host, port = addresses.REDIS
    argv = [redis_binary("redis-server"), "--bind", host, "--port", str(port), "--save", "", "--appendonly", "no"]
    return Process([*argv, "--dir", str(folder)], addresses.REDIS, folder / "redis.log", measured=False)


def gateway(
    folder: Path, *, measured: bool, address: tuple[str, int] = addresses.NODE, without: str = "",
    options: Mapping[str, str | int] | None = None,
) -> Process:  # fmt: skip
    """Start a node, `measured` or as the backend of what is measured; perhaps without a part (`peers.stripped`).

    `options` are more of its settings, named like their flags.
    """
    host, port = address
    name = node_name(address)
    argv = _command(
        "gateway", folder, without, id=name, host=host, port=port, admin_port=_GATEWAY_ADMIN, **(options or {})
    )
    return Process([*argv, "--trusted-proxies", addresses.RELAYS], address, folder / f"{name}.log", measured)


def proxy(
    folder: Path, *, address: tuple[str, int] = addresses.PROXY, keeper: Path | None = None, without: str = ""
) -> Process:
    """Start a proxy, perhaps with a keeper, or without a part. It has to find the node first: see `wait_routed`."""
    host, port = address
    name = _name("proxy", address)
    argv = _command(
        "proxy", folder, without, id=name, host=host, port=port, admin_host=host, admin_port=_PROXY_ADMIN,
        keeper=str(keeper or ""),
    )  # fmt: skip
    # The load comes from few addresses.
    argv += ["--source", host, "--max-connections-per-ip", "0"]
    return Process(argv, address, folder / f"{name}.log", measured=True)


def node_name(address: tuple[str, int]) -> str:
    """Return the name of the node at an address."""
    return _name("gateway", address)


def _name(kind: str, address: tuple[str, int]) -> str:
    return f"{kind}-{address[0].rpartition('.')[2]}"


def wait_routed(address: tuple[str, int] = addresses.PROXY, nodes: int = 1) -> None:
    """Wait until the proxy at an address routes to so many nodes. Raises `CommandError` if it does not."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            found = admin_client.get(address[0], _PROXY_ADMIN, "/info")["nodes"]
        except CommandError:  # it listens for clients a moment before
            found = {}
        if sum(node["usable"] for node in found.values()) >= nodes:
            return
        time.sleep(0.05)
    raise CommandError("the proxy has not found its nodes; see its log")


def _command(program: str, folder: Path, without: str, **settings: str | int) -> list[str]:
    module = ["benchmarks.peers.stripped", without] if without else ["flux_gateway"]
    argv = [sys.executable, "-m", *module, program, "--log-level", "warning"]
    token = folder / "token"
    if not token.exists():
        token.write_text(secrets.token_urlsafe(32))
    settings |= {"token-file": str(token), "redis-host": addresses.REDIS[0], "redis-port": addresses.REDIS[1]}
    for name, value in settings.items():
        argv += [f"--{name.replace('_', '-')}", str(value)]
    return argv
