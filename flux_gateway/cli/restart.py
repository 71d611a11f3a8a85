"""`flux restart`: stop and start a process of the cluster."""

import time

import click

from flux_gateway.cli.deployed import unit_of
from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_cluster
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.protocol import ProcessStatus


@click.command("restart")
@click.argument("process")
@click.pass_context
def command(ctx: click.Context, process: str) -> None:
    """Stop PROCESS gracefully, start it again, and wait until it is ready. No client notices.

    A node's sessions move to the other nodes first; a proxy leaves its connections to its next process.

    \b
    Example:
      flux restart gateway-1
      flux restart proxy-1
    """
    instead = f"systemctl restart {unit_of(process)} on its host, or playbooks/rolling_update.yml for one after another"
    cluster = local_cluster(ctx, instead)
    with err.status(f"restarting {process} ..."):
        before, after = restart(cluster, process)
    click.echo(f"{process} is ready again, pid {before.pid} -> {after.pid}")


def restart(cluster: LocalCluster, name: str) -> tuple[ProcessStatus, ProcessStatus]:
    """Restart a process and wait until it is ready. Returns what it was before and is after. Raises `CommandError`."""
    drain = cluster.settings.drain_timeout + 5
    before = find(cluster, name)
    cluster.ask("restart", name=name, seconds=drain)
    return before, wait_ready(cluster, name, drain + 30, not_pid=before.pid)


def find(cluster: LocalCluster, name: str) -> ProcessStatus:
    """Return what the supervisor knows of a process. Raises `CommandError` naming those there are."""
    processes = {one.name: one for one in cluster.ask("status").processes}
    if name not in processes:
        raise CommandError(f"there is no process {name!r}; there are {', '.join(processes)}")
    return processes[name]


def wait_ready(cluster: LocalCluster, name: str, seconds: float, not_pid: int | None = None) -> ProcessStatus:
    """Wait until the process is ready, in another incarnation than `not_pid`. Raises `CommandError` if it is not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process = find(cluster, name)
        if process.ready and process.pid is not None and process.pid != not_pid:
            return process
        time.sleep(0.1)
    raise CommandError(f"{name} is not ready after {seconds:g} s; see `flux logs {name}`")
