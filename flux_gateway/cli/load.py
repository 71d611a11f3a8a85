"""`flux load`: the load client on the terminal."""

import asyncio
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from flux_gateway.cli.load_options import close_codes, report_file
from flux_gateway.cli.load_progress import progress
from flux_gateway.cli.load_report import Outcome, print_table, write_file
from flux_gateway.cli.selection import cluster_of
from flux_gateway.core.errors import CommandError
from flux_gateway.load import Counts, Load, LoadPlan
from flux_gateway.load.newcomers import NewcomerCounts, Newcomers, most_open
from flux_gateway.load.plan import expand_sources
from flux_gateway.load.verdict import Demands, broken, listed
from flux_gateway.runtime.signals import StopSignals

_OTHER_FILES = 64
"""File descriptors this process needs besides the clients' sockets."""
_REFRESH = 0.2
"""Seconds between looks at the progress."""
_HOPELESS = 2.0
"""Seconds without one connection, while attempts fail, after which the URL counts as not reachable."""


@click.command()
@click.option("--url", help="Where to connect: ws://HOST[:PORT]/PATH of an echo endpoint.  [default: the cluster's]")
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
@click.option(
    "--newcomers", "newcomer_rate", metavar="N", default=0.0, type=click.FloatRange(0, 1000),
    help="New clients a second beside the others: each with a fresh key, asks /whoami, leaves. One that is not served "
    "makes exit status 1.  [default: none]",
)  # fmt: skip
@click.option(
    "--newcomer-retries", metavar="N", default=0, show_default=True, type=click.IntRange(0, 100),
    help="How often a new client tries again, 0.5 s apart, before it counts as not served.",
)  # fmt: skip
@click.option(
    "--expect", "codes", metavar="CODES", callback=close_codes,
    help="Close codes that are explained, e.g. 1012,1006, or none; any other makes exit status 1.",
)  # fmt: skip
@click.option(
    "--return-within", metavar="SECONDS", type=click.FloatRange(0.01, 3600),
    help="Exit status 1 if a disconnected client needs longer, from its first attempt, to be connected again, or is "
    "not connected at the end; the end waits so long for those on their way.",
)  # fmt: skip
@click.option(
    "--lost-at-most", "lost", metavar="N", default=0, show_default=True, type=click.IntRange(min=0),
    help="Messages that may be lost on open connections: those in flight in a process that is killed are.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the table.")
@click.option(
    "--report", "report", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), callback=report_file,
    help="Write the JSON object there, whatever is printed.",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context, /, url: str | None, sources: tuple[str, ...], no_reconnect: bool, newcomer_rate: float,
    newcomer_retries: int, codes: frozenset[int] | None, return_within: float | None, lost: int, as_json: bool,
    report: Path | None, **values: Any,
) -> None:  # fmt: skip
    """Clients that send numbered messages and count what they see.

    Every message must come back once, in order and intact. Exit status 0 if all did that came back at all, 1 if any
    was lost, doubled, reordered or corrupt, or if none came back, or if something else that was asked for did not
    hold; the last lines say which. Ctrl-C ends early and still reports.

    \b
    Example:
      flux load --clients 1000 --rate 2 --duration 30
      flux load --url ws://127.0.0.1:8080/echo --newcomers 20 --expect 1012 --return-within 2
    """
    if no_reconnect and return_within:
        raise click.UsageError("--return-within asks clients to come back, --no-reconnect forbids it: give one")
    try:
        plan = LoadPlan(
            url=url or f"{cluster_of(ctx).url}/echo", sources=expand_sources(sources), reconnect=not no_reconnect,
            **values,
        )  # fmt: skip
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _raise_file_limit(plan.clients, most_open(newcomer_rate, newcomer_retries))
    newcomers = Newcomers(plan.url, newcomer_rate, newcomer_retries) if newcomer_rate else None
    demands = Demands(codes=codes, return_within=return_within, lost=lost)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        outcome = runner.run(_drive(plan, newcomers, demands, not as_json and sys.stderr.isatty()))
    if report:
        write_file(report, outcome)
    counts = outcome.report.counts
    if not counts.connects:
        causes = listed(counts.connect_failures) or "no attempt came to an end"
        raise CommandError(f"{plan.url} is not reachable: {causes}")
    if as_json:
        click.echo(outcome.json())
    else:
        print_table(outcome)
    ctx.exit(0 if outcome.ok else 1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _raise_file_limit(clients: int, newcomers: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = _OTHER_FILES + newcomers
    if hard != resource.RLIM_INFINITY and clients + others > hard:
        raise click.UsageError(
            f"--clients {clients} needs {clients + others} file descriptors, this process may have {hard}: "
            f"ask for at most {max(0, hard - others)} clients, or raise `ulimit -Hn`"
        )
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _drive(plan: LoadPlan, newcomers: Newcomers | None, demands: Demands, show_progress: bool) -> Outcome:
    load = Load(plan)
    interrupted = StopSignals().drain
    await load.start()
    if newcomers is not None:
        newcomers.start()
    grace, seen = None, None
    try:
        with progress(plan, show_progress) as show:
            while not interrupted.is_set() and load.remaining > 0:
                await _pause(interrupted, min(_REFRESH, load.remaining))
                counts = load.counts()
                show(load, counts)
                if _hopeless(load, counts):
                    grace = 0.0
                    break
        if demands.return_within is not None and grace is None and not interrupted.is_set():
            await load.ready(demands.return_within)
    finally:
        seen = await _all_seen(newcomers)
        report = await load.stop(grace)
    return Outcome(plan=plan, report=report, newcomers=seen, broken=broken(report, seen, demands))


async def _all_seen(newcomers: Newcomers | None) -> NewcomerCounts | None:
    if newcomers is None:
        return None
    await newcomers.stop()
    return newcomers.take()


async def _pause(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


def _hopeless(load: Load, counts: Counts) -> bool:
    return load.elapsed >= _HOPELESS and not counts.connects and bool(counts.connect_failures)
