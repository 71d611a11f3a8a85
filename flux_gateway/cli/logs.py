"""`flux logs`: show the logs."""

import time
from pathlib import Path
from typing import TextIO

import click

from flux_gateway.cli.deployed import unit_of
from flux_gateway.cli.selection import local_state
from flux_gateway.core.errors import CommandError


@click.command("logs")
@click.argument("names", nargs=-1)
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(0), help="last lines of each log")
@click.option("-f", "--follow", is_flag=True, help="go on showing what is added, until Ctrl-C")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], lines: int, follow: bool) -> None:
    """Show the logs of NAMES (gateway-1, proxy-1, redis, supervisor, ...), or of all, merged by time.

    \b
    Example:
      flux logs proxy-1 -f
    """
    name = names[0] if names else "gateway-1"
    fields = f"FLUX_NODE={name}" if name.startswith("gateway") else f"-u {unit_of(name)}"
    state = local_state(ctx, f"journalctl {fields} -f on its host")
    there_are = sorted(file.stem for file in state.logs.glob("*.log"))
    if not there_are:
        raise CommandError(f"no logs in {state.logs}: start a cluster with `flux up`")
    for name in names:
        if name not in there_are:
            raise CommandError(f"no log of {name!r}; there are {', '.join(there_are)}")
    files = [state.log(name) for name in names or there_are]
    last = [line for file in files for line in _last(file, lines)]
    # Every line of ours starts with the time; those that do not (a trace, Redis) stay behind the line before.
    for line in sorted(last, key=lambda entry: entry[0]) if len(files) > 1 else last:
        click.echo(line[1])
    if follow:
        _follow(files)


def _last(file: Path, count: int) -> list[tuple[str, str]]:
    entries, moment = [], ""
    for line in file.read_text(errors="replace").splitlines()[-count:] if count else []:
        if line[:2] == "20" and "T" in line[:11]:
            moment = line.split(" ", 1)[0]
        entries.append((moment, line))
    return entries


def _follow(files: list[Path]) -> None:
    streams: list[TextIO] = []
    try:
        for file in files:
            streams.append(file.open(errors="replace"))
            streams[-1].seek(0, 2)
        while True:
            for source in streams:
                for line in source:
                    click.echo(line, nl=False)
            time.sleep(0.2)
    finally:
        for source in streams:
            source.close()
