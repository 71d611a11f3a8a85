"""`flux rolling-restart`: restart every gateway, and every proxy if asked to, one after another."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click

from flux_gateway.cli.gate import objection
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.rebalance import running
from flux_gateway.cli.restart import find
from flux_gateway.cli.selection import local_cluster
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError
from flux_gateway.runtime import admin_client
from flux_gateway.supervisor.protocol import ProcessStatus

GATE = 30.0
"""Seconds that a new process gets, by default, to do its work."""
_STOP_MARGIN = 15.0
"""Seconds on top of the drain window in which the supervisor has ended the old process by all means."""
_LOOK = 0.1
"""Seconds between two looks."""


@click.command("rolling-restart")
@click.option("--proxies", is_flag=True, help="after the gateways restart every proxy, too")
@click.option("--gate-timeout", type=click.FloatRange(0.01, 3600), default=GATE, show_default=True,
              help="seconds for each new process to be UP and used by every proxy")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, proxies: bool, gate_timeout: float) -> None:
    """Restart every gateway, one after another, while clients talk: their sessions move, no client notices.

    The next one goes only when the one before is UP again and every proxy sends it clients. If that fails, or if a
    process is out of order from the start, the command stops with exit status 1, and the rest goes on as it was.

    \b
    Example:
      flux rolling-restart --proxies
    """
    cluster = local_cluster(ctx, "ansible-playbook playbooks/rolling_update.yml, on the machine that deploys")
    kinds = ("gateway", "proxy") if proxies else ("gateway",)
    started, restarted = time.monotonic(), 0
    if sum(one.kind == "gateway" for one in cluster.ask("status").processes) == 1:
        err.print("there is only one gateway: its sessions have nowhere to move, so its clients must come back")
    lines = turns(cluster, kinds, gate_timeout)
    while True:
        with err.status("restarting ..."):
            line = next(lines, None)
        if line is None:
            break
        restarted += 1
        click.echo(line)
    click.echo(f"restarted {restarted} processes in {time.monotonic() - started:.1f} s")


def turns(cluster: LocalCluster, kinds: Iterable[str], gate_timeout: float) -> Iterator[str]:
    """Restart every process of these kinds, one after another; yields a line about each. Raises `CommandError`."""
    processes = [one for kind in kinds for one in cluster.ask("status").processes if one.kind == kind]
    _check_all(cluster)
    for number, process in enumerate(processes):
        yield _take_turn(cluster, process, gate_timeout, [one.name for one in processes[number + 1 :]])


def _check_all(cluster: LocalCluster) -> None:
    """Raises `CommandError` if any gateway or proxy is out of order: taking another one away would make it worse."""
    for process in cluster.ask("status").processes:
        if process.kind in ("gateway", "proxy"):
            why = objection(cluster, process)
            if why:
                raise CommandError(
                    f"{process.name} is out of order: {why}. Nothing was restarted. See `flux status` and "
                    f"`flux logs {process.name}`; `flux restart {process.name}` starts it again"
                )


def _take_turn(cluster: LocalCluster, process: ProcessStatus, gate_timeout: float, rest: list[str]) -> str:
    """Restart one process and wait at the gate. Returns the line about it. Raises `CommandError`."""
    before, clients, started = _moves(cluster), _clients(cluster, process), time.monotonic()
    drain = cluster.settings.drain_timeout + 5
    old = find(cluster, process.name).pid
    cluster.ask("restart", name=process.name, seconds=drain)
    new = _wait_until_new(cluster, process.name, old, drain + _STOP_MARGIN, rest)
    over = time.monotonic() + gate_timeout
    while why := objection(cluster, new):
        if time.monotonic() > over:
            raise _stopped(process.name, f"{why} after {gate_timeout:g} s", rest)
        time.sleep(_LOOK)
        new = find(cluster, process.name)
    seconds = time.monotonic() - started
    head = f"{process.name} is UP again after {seconds:.1f} s, pid {old} -> {new.pid}: "
    if process.kind == "proxy":
        return head + f"{clients} clients before, {_clients(cluster, process)} after"
    return head + _moves(cluster).since(before)


def _wait_until_new(
    cluster: LocalCluster, name: str, old: int | None, seconds: float, rest: list[str]
) -> ProcessStatus:
    """Return the process when it is another one than `old`. Raises `CommandError` after so many seconds."""
    over = time.monotonic() + seconds
    while True:
        process = find(cluster, name)
        if process.pid is not None and process.pid != old:
            return process
        if time.monotonic() > over:
            ended = f"did not start again ({process.last_exit})" if process.pid is None else "did not stop"
            raise _stopped(name, f"{ended} within {seconds:g} s", rest)
        time.sleep(_LOOK)


def _stopped(name: str, why: str, rest: list[str]) -> CommandError:
    untouched = f"{', '.join(rest)} not restarted" if rest else "it was the last one"
    return CommandError(
        f"stopped at {name}: {why}; {untouched}. See `flux logs {name}`; when {name} is UP in `flux status`, "
        "`flux rolling-restart` begins anew"
    )


@dataclass(frozen=True)
class _Moves:
    """Sessions that all proxies have moved since they started."""

    done: int
    failed: int

    def since(self, before: "_Moves") -> str:
        """Return what has happened since, for people. A proxy that was restarted in between counts from 0 again."""
        done, failed = max(0, self.done - before.done), max(0, self.failed - before.failed)
        return f"{done} sessions moved, {failed} failed"


def _moves(cluster: LocalCluster) -> _Moves:
    done = failed = 0
    for proxy in running(cluster):
        # A proxy of an older release moves nothing and does not tell.
        moves = admin_client.get(proxy.admin_host, proxy.admin_port, "/info").get("moves", {})
        done += moves.get("move", 0) + moves.get("reattach", 0)
        failed += moves.get("failed", 0)
    return _Moves(done, failed)


def _clients(cluster: LocalCluster, process: ProcessStatus) -> int:
    """Return how many clients a proxy serves; 0 for a gateway."""
    if process.kind != "proxy":
        return 0
    connections: int = admin_client.get(*cluster.member(process.name), "/info")["connections"]
    return connections
