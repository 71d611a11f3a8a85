"""`flux kill`: kill -9 a process of the cluster."""

import click

from flux_gateway.cli.deployed import unit_of
from flux_gateway.cli.selection import local_cluster


@click.command("kill")
@click.argument("process")
@click.option("--hold", "seconds", type=click.FloatRange(0.1, 3600), help="keep it dead for so many seconds")
@click.pass_context
def command(ctx: click.Context, process: str, seconds: float | None) -> None:
    """Kill PROCESS (gateway-2, proxy-1, keeper-1, dashboard, redis) with SIGKILL. The supervisor starts it again.

    Sessions of a node go on at others; a proxy's connections wait in its keeper for its next process.

    \b
    Example:
      flux kill gateway-2 --hold 20
    """
    instead = f"systemctl kill -s KILL {unit_of(process)} on its host, or playbooks/drills/kill.yml"
    local_cluster(ctx, instead).ask("kill", name=process, hold=seconds is not None, seconds=seconds or 0.0)
    click.echo(f"killed {process}" + (f"; it stays dead for {seconds:g} s" if seconds else ""))
