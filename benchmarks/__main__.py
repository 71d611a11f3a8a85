"""`python -m benchmarks`: measure, show the progress, print the table."""

import asyncio
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.figures import Figure, Step
from benchmarks.machine import busy, facts
from benchmarks.peers import cores
from benchmarks.scenarios import failover, gateway, keeper, messaging, moves, proxy
from benchmarks.scenarios.effort import FULL, QUICK, Effort
from benchmarks.table import table
from flux_gateway.cli.daemon_options import run_loop
from flux_gateway.core.errors import FluxError

Scenario = Callable[[Path, Effort, Step], Awaitable[list[Figure]]]

_SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    "proxy": (proxy.run,), "gateway": (gateway.run,), "failover": (failover.run,), "keeper": (keeper.run,),
    "moves": moves.PARTS, "messaging": messaging.PARTS,
}  # fmt: skip

_WHOLE = ("failover", "moves")
"""Scenarios with a cluster as its users run it: not pinned. What is started from here inherits it."""


@click.command(help=__doc__)
@click.argument("what", type=click.Choice(["all", *_SCENARIOS]), default="all")
@click.option("--quick", is_flag=True, help="Few and short measurements: for trying out, not for figures.")
@click.option("--rounds", type=click.IntRange(min=1), help="Pairs per figure of processor time [default 7].")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write every single run there.")
def main(what: str, quick: bool, rounds: int | None, file: Path | None) -> None:
    """Run a scenario, or all."""
    effort = QUICK if quick else FULL
    if rounds is not None:
        effort = msgspec.structs.replace(effort, rounds=rounds)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    surroundings, figures = facts(), list[Figure]()
    chosen = list(_SCENARIOS) if what == "all" else [what]
    try:
        run_loop(_run(chosen, effort, figures))
    except FluxError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (asyncio.CancelledError, KeyboardInterrupt):
        click.echo("interrupted; everything that was started is stopped", err=True)
        sys.exit(130)
    finally:
        _report(surroundings, figures, file)


async def _run(chosen: list[str], effort: Effort, figures: list[Figure]) -> None:
    """Run the scenarios; what one, or a part of one, has found is kept if a later one breaks."""
    # Ctrl-C is the runner's; a SIGTERM must not leave the measured processes behind either.
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # Drawn seldom: the load runs in this process too.
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as progress:
        for name in chosen:
            task = progress.add_task(name)

            def step(text: str, task: TaskID = task) -> None:
                progress.update(task, description=text)

            with tempfile.TemporaryDirectory(prefix="flux-benchmark-") as folder:
                for part in _SCENARIOS[name]:
                    cores.pin(os.getpid(), cores.ALL if name in _WHOLE else cores.OTHERS)
                    figures += await part(Path(folder), effort, step)
            progress.update(task, description=name, total=1, completed=1)
            await asyncio.sleep(0)


def _report(surroundings: dict[str, str], figures: list[Figure], file: Path | None) -> None:
    if not figures:
        return
    surroundings["used by others after"] = busy()
    out = Console(width=None if sys.stdout.isatty() else 150)
    for name, text in surroundings.items():
        out.print(f"{name}: {text}", highlight=False)
    out.print(table(figures))
    if file is not None:
        rows = [msgspec.to_builtins(figure) | {"ratio": figure.ratio, "reached": figure.reached} for figure in figures]
        file.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": surroundings, "figures": rows})))


if __name__ == "__main__":
    main()
