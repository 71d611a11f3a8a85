"""`flux down`: stop everything in order, and leave nothing running."""

import contextlib
import shutil
import signal

import click
import msgspec
import psutil

from flux_gateway.cli.selection import local_state
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.protocol import NotRunning, Request, ask
from flux_gateway.supervisor.state_dir import StateDir


@click.command("down")
@click.option("--purge", is_flag=True, help="remove the state directory too: logs, secrets, Redis' data")
@click.option("--drain", "seconds", default=5.0, show_default=True, help="seconds that clients get to leave")
@click.pass_context
def command(ctx: click.Context, purge: bool, seconds: float) -> None:
    """Stop the dashboard, the proxies with their keepers, the gateways and Redis, in this order.

    \b
    Example:
      flux down --purge
    """
    state = local_state(ctx, "systemctl stop flux-gateway@gateway-1 on its host (it drains first)")
    try:
        pid = ask(state.socket, Request(op="stop", seconds=seconds)).pid
        with err.status("stopping dashboard, proxies, gateways, Redis ..."):
            _wait_for_end(pid, seconds * 4 + 30)
        click.echo("Everything is stopped.")
    except NotRunning:
        left = _stop_leftovers(state)
        click.echo(f"No supervisor was running; stopped {left} processes it left." if left else "Nothing was running.")
    if purge and state.path.exists():
        shutil.rmtree(state.path)
        click.echo(f"Removed {state.path}.")


def _wait_for_end(pid: int, seconds: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            raise CommandError(f"the supervisor (pid {pid}) has not stopped after {seconds:g} s; see its log") from None


def _stop_leftovers(state: StateDir) -> int:
    """Stop processes that a killed supervisor has left. Returns how many there were."""
    if not state.processes.exists():
        return 0
    found = []
    for pid, created in msgspec.json.decode(state.processes.read_bytes(), type=list[tuple[int, float]]):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            # The pid may belong to somebody else by now; its creation time tells.
            if abs(process.create_time() - created) < 0.01:
                found.append(process)
    # SIGINT, since at SIGTERM proxies would leave their clients to a next process, which never comes.
    for number in (signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if number is not signal.SIGCONT:
            _, alive = psutil.wait_procs(found, timeout=3)
            if not alive:
                break
    state.processes.unlink()
    state.socket.unlink(missing_ok=True)
    return len(found)
