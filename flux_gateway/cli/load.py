"""`flux load`: the load client on the terminal."""

import asyncio
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flux_gateway.cli import terminal
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Counts, Load, LoadPlan, Report
from flux_gateway.load.plan import expand_sources
from flux_gateway.runtime.signals import StopSignals

_OTHER_FILES = 64
"""File descriptors this process needs besides the clients' sockets."""
_REFRESH = 0.2
"""Seconds between looks at the progress."""
_HOPELESS = 2.0
"""Seconds without one connection, while attempts fail, after which the URL counts as not reachable."""


@click.command()
@click.option("--url", required=True, help="Where to connect: ws://HOST[:PORT]/PATH of an echo endpoint.")
@click.option("--clients", default=100, show_default=True, type=click.IntRange(min=1), help="Connections to hold.")
@click.option(
    "--rate", default=1.0, show_default=True, type=float,
    help="Messages per second and client. 0: each sends again as soon as its answer comes.",
)  # fmt: skip
@click.option("--window", default=1, show_default=True, help="With --rate 0: messages in flight per client.")
@click.option("--size", default=64, show_default=True, help="Bytes per message, at least 16.")
@click.option("--duration", default=10.0, show_default=True, help="Seconds, counted from the end of the ramp.")
@click.option("--ramp", default=2000.0, show_default=True, help="New connections per second at the start.")
@click.option("--grace", default=5.0, show_default=True, help="Seconds that late answers get at the end.")
@click.option("--connect-timeout", default=10.0, show_default=True, help="Seconds for a connection to open.")
@click.option("--no-reconnect", is_flag=True, help="A client that was disconnected or refused stays away.")
@click.option(
    "--source", "sources", multiple=True, metavar="ADDRESS[-LAST]",
    help="Local address or range to connect from, in turn; may be repeated. One address has about 28,000 ports.",
)  # fmt: skip
@click.option("--prefix", default="", help="Affinity keys are PREFIX-0, PREFIX-1, ... [default: one for each run]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.pass_context
def command(ctx: click.Context, /, sources: tuple[str, ...], no_reconnect: bool, as_json: bool, **values: Any) -> None:
    """Clients that send numbered messages and count what they see.

    Every message must come back once, in order and intact. Exit status 0 if all did that came back at all, 1 if any
    was lost, doubled, reordered or corrupt, or if none came back. Ctrl-C ends early and still reports.

    \b
    Example:
      flux load --url ws://127.0.0.1:8080/echo --clients 1000 --rate 2 --duration 30
    """
    try:
        plan = LoadPlan(sources=expand_sources(sources), reconnect=not no_reconnect, **values)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _raise_file_limit(plan.clients)
    progress = not as_json and sys.stderr.isatty()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        report = runner.run(_drive(plan, progress))
    if not report.counts.connects:
        causes = _listed(report.counts.connect_failures) or "no attempt came to an end"
        raise CommandError(f"{plan.url} is not reachable: {causes}")
    if as_json:
        click.echo(msgspec.json.encode({"plan": plan, "report": report, "clean": report.counts.clean}).decode())
    else:
        terminal.out.print(_table(plan, report))
    ctx.exit(0 if report.counts.clean else 1)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _raise_file_limit(clients: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and clients + _OTHER_FILES > hard:
        raise click.UsageError(
            f"--clients {clients} needs {clients + _OTHER_FILES} file descriptors, this process may have {hard}: "
            f"ask for at most {max(0, hard - _OTHER_FILES)} clients, or raise `ulimit -Hn`"
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _drive(plan: LoadPlan, show_progress: bool) -> Report:
    load = Load(plan)
    interrupted = StopSignals().drain
    await load.start()
    grace = None
    try:
        with _progress(plan, show_progress) as show:
            while not interrupted.is_set() and load.remaining > 0:
                await _pause(interrupted, min(_REFRESH, load.remaining))
                counts = load.counts()
                show(load, counts)
                if _hopeless(load, counts):
                    grace = 0.0
                    break
    finally:
        report = await load.stop(grace)
    return report


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _hopeless(load: Load, counts: Counts) -> bool:
    return load.elapsed >= _HOPELESS and not counts.connects and bool(counts.connect_failures)


@contextmanager
def _progress(plan: LoadPlan, wanted: bool) -> Iterator[Any]:
    """Yield what draws the state of the run; it draws nothing unless `wanted`."""
    if not wanted:
        yield lambda load, counts: None
        return
    columns = (
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[connected]} connected"),
        TextColumn("{task.fields[speed]:,.0f} messages/s"),
        TextColumn("{task.fields[disconnects]} disconnects"),
    )
    with Progress(*columns, console=terminal.err, transient=True) as progress:
        task = progress.add_task(
            "load", total=plan.ramp_seconds + (plan.duration or 0.0), connected=0, speed=0.0, disconnects=0
        )
        last = [0.0, 0]

        def show(load: Load, counts: Counts) -> None:
            elapsed = load.elapsed
            speed = (counts.received - last[1]) / max(1e-3, elapsed - last[0])
            last[:] = elapsed, counts.received
            progress.update(
                task, completed=elapsed, connected=counts.connected, speed=speed,
                disconnects=sum(counts.disconnects.values()),
            )  # fmt: skip

        yield show


def _listed(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{key or 'unnamed'} {count:,}" for key, count in sorted(counts.items(), key=lambda row: -row[1]))


def _table(plan: LoadPlan, report: Report) -> Table:
    counts, latency = report.counts, report.latency
    table = Table(title=plan.url, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="left")
    cpu = report.cpu_seconds * 1e6 / counts.received if counts.received else 0.0
    rows: list[tuple[str, str]] = [
        ("duration", f"{report.seconds:.1f} s"),
        ("clients", f"{plan.clients:,}"),
        ("connections opened", f"{counts.connects:,}"),
        ("connect failures", _listed(counts.connect_failures) or "0"),
        ("disconnects by close code", _listed(counts.disconnects) or "0"),
        ("came back to another node", f"{counts.node_changes:,}"),
        ("messages sent", f"{counts.sent:,}"),
        ("messages back", f"{counts.received:,}  ({report.messages_per_second:,.0f}/s)"),
        ("lost", f"{counts.lost:,}"),
        ("doubled", f"{counts.doubled:,}"),
        ("reordered", f"{counts.reordered:,}"),
        ("corrupt", f"{counts.corrupt:,}"),
        ("unanswered at a disconnect", f"{counts.unanswered:,}"),
        ("turns passed, socket full", f"{counts.blocked:,}"),
        ("turns passed, load too slow", f"{counts.skipped:,}"),
        ("latency p50, p90", f"{_time(latency.p50)}, {_time(latency.p90)}"),
        ("latency p99, p99.9", f"{_time(latency.p99)}, {_time(latency.p999)}"),
        ("latency, largest", _time(latency.max)),
        ("longest silence", _time(report.longest_silence)),
        ("processor of the load client", f"{report.cpu_seconds:.1f} s  ({cpu:.1f} us per message)"),
    ]
    for name, value in rows:
        wrong = name in ("lost", "doubled", "reordered", "corrupt") and value != "0"
        table.add_row(name, value, style="red" if wrong else None)
    return table


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
