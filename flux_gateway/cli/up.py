"""`flux up`: start the whole cluster on this machine."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.selection import local_state
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError, ConfigError
from flux_gateway.runtime import config
from flux_gateway.runtime.ports import holder, taken
from flux_gateway.supervisor import messaging, topology
from flux_gateway.supervisor.protocol import Answer, NotRunning, Request, ask
from flux_gateway.supervisor.settings import ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir

_PATIENCE = 30.0
"""Seconds until every process must be ready."""

_INSTEAD = (
    "ansible-playbook site.yml on the controller, or systemctl start flux-gateway@gateway-1; "
    "for a second cluster on this machine alone: flux up --state-dir .flux"
)


@click.command("up")
@click.option("--gateways", metavar="N", help="gateway nodes [default 3]")
@click.option("--proxies", metavar="N", help="proxies, sharing the port [default 1]")
@click.option("--host", metavar="ADDRESS", help="address clients connect to [default 127.0.0.1]")
@click.option("--port", metavar="PORT", help="port clients connect to [default 8080]")
@click.option("--dashboard-port", metavar="PORT", help="port of the dashboard [default 9090]")
@click.option("--redis-port", metavar="PORT", help="port of the cluster's own Redis [default 6379]")
@click.option("--network", metavar="X", help="nodes get the addresses 127.X.1.N [default 0]")
@click.option("--drain-timeout", metavar="SECONDS", help="how long a drain may last [default 30]")
@click.option("--heartbeat-interval", metavar="SECONDS", help="time between heartbeats [default 5]")
@click.option("--messaging", "messaging_file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="TOML with a table [messaging]: who may do what in which channels [default: see above]")  # fmt: skip
@click.option("--state-dir", metavar="DIR", help="where state, logs and secrets go [default .flux]")
@click.option("--foreground", is_flag=True, help="stay in the foreground, log to the terminal")
@click.pass_context
def command(
    ctx: click.Context, /, state_dir: str | None, foreground: bool, messaging_file: Path | None, **flags: Any
) -> None:
    """Start Redis, the gateways, the proxies and the dashboard on this machine, each a process of its own.

    Returns when all are ready, and prints the addresses.

    Without --messaging, clients with a token may subscribe and publish in every channel without a namespace; the
    namespace `chat` has a history of 100 publications for an hour, recovery, presence, join and leave as well.

    \b
    Example:
      flux up --gateways 5 --port 8080
      flux up --messaging chat.toml
    """
    state = StateDir(state_dir) if state_dir else local_state(ctx, _INSTEAD)
    settings = config.load(ClusterSettings, "cluster", flags=flags)
    given = _messaging(messaging_file) if messaging_file else None
    if _running(state):
        cluster = LocalCluster(state.path)
        err.print(f"The cluster in {state.path} is running already; `flux down` stops it.")
        _print_addresses(cluster)
        return
    state.create()
    if given is None:
        state.messaging.unlink(missing_ok=True)
    else:
        state.write_private(state.messaging, topology.toml({"messaging": given}))
    redis = topology.redis_section(settings, state)
    state.write_private(state.config, topology.toml({"cluster": msgspec.to_builtins(settings), "redis": redis}))
    _check_ports(settings, state)
    if foreground:
        sys.exit(subprocess.call(_supervisor(state)))
    _start(state)
    _print_addresses(LocalCluster(state.path))


def _messaging(file: Path) -> dict[str, Any]:
    """Return the table of a file. Raises `CommandError`, or `ConfigError` with all that a node would object to."""
    from flux_gateway.gateway.messaging.secret_files import read_secrets
    from flux_gateway.gateway.messaging.settings import MessagingSettings

    given = messaging.read(file)
    settings = config.load(MessagingSettings, "messaging", file=file, environment={})
    paths = {name: value for name, value in given.items() if name.endswith("_file")}
    read_secrets(msgspec.structs.replace(settings, **paths))
    return given


def _running(state: StateDir) -> bool:
    try:
        ask(state.socket, Request(op="status"), patience=5)
    except NotRunning:
        return False
    return True


def _check_ports(settings: ClusterSettings, state: StateDir) -> None:
    faults, seen = [], set()
    for program in topology.programs(settings, state):
        for host, port in program.listens:
            if (host, port) not in seen and holder(host, port):
                faults.append(taken(program.name, host, port))
            seen.add((host, port))
    if faults:
        raise ConfigError(faults)


def _supervisor(state: StateDir) -> list[str]:
    return [sys.executable, "-m", "flux_gateway", "--state-dir", str(state.path), "supervisor"]


def _start(state: StateDir) -> None:
    log = state.log("supervisor")
    with log.open("ab") as stream:
        process = subprocess.Popen(
            _supervisor(state), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
            cwd=Path("/"),
        )  # fmt: skip
    deadline = time.monotonic() + _PATIENCE
    with err.status("starting Redis, gateways, proxies, dashboard ..."):
        while True:
            answer = _progress(state)
            if answer is not None and answer.ready:
                return
            if process.poll() is not None:
                raise CommandError(f"the supervisor ended at once; the last lines of {log}:\n{_tail(log)}")
            if time.monotonic() > deadline:
                waiting = [one.name for one in answer.processes if not one.ready] if answer else ["supervisor"]
                raise CommandError(
                    f"not ready after {_PATIENCE:g} s: {', '.join(waiting)}; see `flux logs {waiting[0]}`; "
                    "`flux down` stops the rest"
                )
            time.sleep(0.1)


def _progress(state: StateDir) -> Answer | None:
    try:
        return ask(state.socket, Request(op="status"), patience=5)
    except NotRunning:
        return None


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


def _print_addresses(cluster: LocalCluster) -> None:
    click.echo(f"WebSocket   {cluster.url}/echo   (also /whoami)")
    click.echo(f"Messaging   {cluster.url}/connection/websocket   (Centrifuge SDKs)")
    click.echo(f"Dashboard   {cluster.dashboard_url}")
    click.echo(f"State       {cluster.state.path}")
    click.echo("Next        flux status | flux verify | flux demo | flux down")
