"""What a drill does that runs to its end by itself: restarts, a kill that is followed by one, scaling."""

from collections.abc import Callable

import msgspec

from flux_gateway.cli import rebalance, rolling_restart, scale
from flux_gateway.cli.drills.faults import FAULTS
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.restart import find, restart, wait_ready
from flux_gateway.cli.rolling_restart import turns
from flux_gateway.core.errors import CommandError

_RESTARTED = 30.0
"""Seconds in which the supervisor must have brought a killed process back."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `run` is blocking, returns when the cluster does its work again, and raises `CommandError`."""

    title: str
    run: Callable[[LocalCluster], object]
    sudden: bool = False
    """Whether a process of the clients' path dies with what is in its memory."""


def restarted(name: str) -> Change:
    """Return the graceful restart of one process."""
    return Change(title=f"restart {name}", run=lambda cluster: restart(cluster, name))


def killed(name: str) -> Change:
    """Return SIGKILL to a process that the supervisor starts again at once: a proxy, a keeper."""

    def run(cluster: LocalCluster) -> None:
        before = find(cluster, name)
        cluster.ask("kill", name=name)
        wait_ready(cluster, name, _RESTARTED, not_pid=before.pid)

    return Change(title=f"kill -9 {name}", run=run, sudden=name.startswith("proxy"))


def rolled(kind: str) -> Change:
    """Return the restart of every process of a kind, one after another."""

    def run(cluster: LocalCluster) -> None:
        for _ in turns(cluster, (kind,), rolling_restart.GATE):
            pass

    return Change(title={"gateway": "restart every gateway", "proxy": "restart every proxy"}[kind], run=run)


def scaled_out(count: int) -> Change:
    """Return the start of nodes until there are `count`, and the moves that even the load out."""

    def run(cluster: LocalCluster) -> None:
        scale.scale(cluster, count)
        faults = rebalance.finish(cluster)
        if faults:
            raise CommandError("; ".join(faults))

    return Change(title=f"scale to {count}, rebalance", run=run)


def scaled_in(count: int) -> Change:
    """Return the end of the nodes with the highest numbers, which are forgotten then."""

    def run(cluster: LocalCluster) -> None:
        surplus = {one.name for one in cluster.ask("status").processes if one.kind == "gateway"}
        scale.scale(cluster, count)
        surplus -= {f"gateway-{number}" for number in range(1, count + 1)}
        for name in surplus:
            cluster.reader.forget(name, by="flux")

    return Change(title=f"scale back to {count}", run=run)


def gateways(cluster: LocalCluster) -> int:
    """Return how many gateways the cluster runs."""
    return sum(one.kind == "gateway" for one in cluster.ask("status").processes)


def of(cluster: LocalCluster, kind: str, name: str) -> list[Change]:
    """Return what a kind of drill does to the process; empty when it is a fault that lasts. Raises `CommandError`."""
    if kind == "rolling-restart":
        return [rolled("gateway"), rolled("proxy")]
    if kind == "scale":
        count = gateways(cluster)
        return [scaled_out(count + 1), scaled_in(count)]
    process = find(cluster, name)
    if kind == "restart":
        return [restarted(name)]
    if kind == "kill" and process.kind != "gateway":
        return [killed(name)]
    if process.kind != "gateway":
        raise CommandError(f"{kind} is for gateways; for {name} there are kill and restart")
    return []


KINDS = (*FAULTS, "restart", "rolling-restart", "scale")
"""Every kind of drill."""

WITHOUT_NAME = ("rolling-restart", "scale")
"""Kinds that are about the whole cluster."""
