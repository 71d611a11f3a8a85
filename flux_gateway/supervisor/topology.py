"""From the cluster's settings to the programs to run: command line, configuration file, addresses."""

import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor import messaging
from flux_gateway.supervisor.settings import GATEWAY_ADMIN_PORT, GATEWAY_PORT, PROXY_ADMIN_PORT, ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir

_LEAVING = 4.0
"""Seconds in which a proxy that ends for good closes its clients: `flux down` waits five, then it ends at once."""


class Program(msgspec.Struct, frozen=True):
    """One process of the cluster."""

    name: str
    kind: str
    """redis, gateway, keeper, proxy or dashboard."""
    argv: tuple[str, ...]
    listens: tuple[tuple[str, int], ...]
    """Addresses that must be free before it starts."""
    admin: tuple[str, int] | None
    """Where `/readyz` is asked; None for Redis and keepers."""
    address: str
    """Own loopback address: what a partition cuts off."""
    opened: tuple[tuple[str, int], ...] = ()
    """Addresses of `listens` that the supervisor opens for it, and keeps open while it restarts."""
    socket: str = ""
    """Unix socket where a keeper is asked."""
    stop_signal: signal.Signals = signal.SIGTERM
    """What asks it to end for good."""


def redis_binary(name: str) -> str:
    """Return the path of `redis-server` or `redis-cli`: on PATH, else the one that came with the package."""
    found = shutil.which(name)
    if found is None:
        beside = Path(sys.executable).parent / name
        found = str(beside) if beside.exists() else None
    if found is None:
        raise CommandError(
            f"{name} is neither on PATH nor installed with the package: install Debian's redis-server, "
            "or the extra: pip install 'flux-gateway[embedded]'"
        )
    return found


def redis_section(settings: ClusterSettings, state: StateDir) -> dict[str, Any]:
    """Return the section `redis` of every configuration file of this cluster."""
    return {
        "host": settings.address(3, 1),
        "port": settings.redis_port,
        "password_file": str(state.redis_password),
        "heartbeat_interval": settings.heartbeat_interval,
    }


def redis(settings: ClusterSettings, state: StateDir) -> Program:
    """Return the cluster's Redis, and write its configuration."""
    address, config = settings.address(3, 1), state.configs / "redis.conf"
    lines = [
        f"bind {address}",
        f"port {settings.redis_port}",
        f'dir "{state.redis}"',
        f"requirepass {state.redis_password.read_text().strip()}",
        "appendonly yes",
        'save ""',
        "maxmemory-policy noeviction",
        "tcp-keepalive 60",
        "daemonize no",
    ]
    state.write_private(config, "\n".join(lines) + "\n")
    argv = (redis_binary("redis-server"), str(config))
    return Program("redis", "redis", argv, ((address, settings.redis_port),), None, address)


def gateway(number: int, settings: ClusterSettings, state: StateDir) -> Program:
    """Return the gateway node of a number from 1, and write its configuration."""
    name, address = f"gateway-{number}", settings.address(1, number)
    values = {
        "id": name,
        "host": address,
        "port": GATEWAY_PORT,
        "admin_port": GATEWAY_ADMIN_PORT,
        "token_file": str(state.token),
        "trusted_proxies": [f"127.{settings.network}.2.0/24"],
        "drain_timeout": settings.drain_timeout,
    }
    argv = _daemon("gateway", name, values, settings, state, messaging=messaging.section(state))
    listens = ((address, GATEWAY_PORT), (address, GATEWAY_ADMIN_PORT))
    return Program(name, "gateway", argv, listens, (address, GATEWAY_ADMIN_PORT), address)


def keeper(number: int, settings: ClusterSettings, state: StateDir) -> Program:
    """Return the keeper of the proxy with this number, and write its configuration."""
    name, socket = f"keeper-{number}", str(state.keeper(number))
    argv = _daemon("keeper", name, {"id": name, "socket": socket}, None, state)
    return Program(name, "keeper", argv, (), None, settings.address(2, number), socket=socket)


def proxy(number: int, settings: ClusterSettings, state: StateDir) -> Program:
    """Return the proxy of a number from 1, and write its configuration."""
    name, address = f"proxy-{number}", settings.address(2, number)
    values = {
        "id": name,
        "host": settings.host,
        "port": settings.port,
        "admin_host": address,
        "admin_port": PROXY_ADMIN_PORT,
        "source": address,
        "token_file": str(state.token),
        "drain_timeout": min(settings.drain_timeout, _LEAVING),
        "keeper": str(state.keeper(number)),
    }
    argv = _daemon("proxy", name, values, settings, state)
    clients = (settings.host, settings.port)
    listens = (clients, (address, PROXY_ADMIN_PORT))
    # At SIGTERM it would leave its clients to a next process, which never comes.
    return Program(
        name, "proxy", argv, listens, (address, PROXY_ADMIN_PORT), address, (clients,), stop_signal=signal.SIGINT
    )


def dashboard(settings: ClusterSettings, state: StateDir) -> Program:
    """Return the dashboard, and write its configuration."""
    host, port = settings.dashboard_host, settings.dashboard_port
    values = {"host": host, "port": port, "token_file": str(state.token)}
    argv = _daemon("dashboard", "dashboard", values, settings, state)
    return Program("dashboard", "dashboard", argv, ((host, port),), (host, port), host)


def programs(settings: ClusterSettings, state: StateDir) -> list[Program]:
    """Return everything to run, in the order of starting; stopping goes the other way."""
    return [
        redis(settings, state),
        *(gateway(number, settings, state) for number in range(1, settings.gateways + 1)),
        *(make(number, settings, state) for number in range(1, settings.proxies + 1) for make in (keeper, proxy)),
        dashboard(settings, state),
    ]


def _daemon(
    kind: str,
    name: str,
    values: dict[str, Any],
    settings: ClusterSettings | None,
    state: StateDir,
    **sections: dict[str, Any],
) -> tuple[str, ...]:
    """Write the configuration of a daemon, and return its command line. Without `settings` it needs no Redis."""
    file = state.configs / f"{name}.toml"
    redis_too = {"redis": redis_section(settings, state)} if settings is not None else {}
    state.write_private(file, toml({kind: values, **redis_too, **sections}))
    return (sys.executable, "-m", "flux_gateway", kind, "--config", str(file))


def toml(tables: dict[str, dict[str, Any]]) -> str:
    """Return tables of plain values, and of such tables again, as TOML."""
    return "\n".join(line for name, values in tables.items() for line in _table([name], values))


def _table(path: list[str], values: dict[str, Any]) -> list[str]:
    inner = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"[{'.'.join(map(_key, path))}]"]
    lines += [f"{_key(name)} = {_value(value)}" for name, value in values.items() if name not in inner]
    lines.append("")
    for name, value in inner.items():
        lines += _table([*path, name], value)
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    # A JSON text of a string, number, boolean or list of those is the same in TOML, but for one character.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
