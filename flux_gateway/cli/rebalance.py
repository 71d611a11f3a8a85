"""`flux rebalance`: have the proxies move sessions to where their slots rank them now, or see how far they are."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.status import shown_state
from flux_gateway.cli.terminal import err, out, plain_table
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import GONE
from flux_gateway.core.membership import ProxyRecord
from flux_gateway.runtime import admin_client

_LONGEST = 60.0
"""Seconds that `--now` waits."""
_LOOK = 0.2
"""Seconds between two looks at the proxies."""
_SILENCE = 10.0
"""Seconds that a proxy may be too busy to answer."""

Answer = dict[str, Any]
"""What a proxy says of itself: id, away, moving, pace, paused, now."""


@click.command("rebalance")
@click.option("--now", is_flag=True, help="move all at once instead of at the configured pace, and wait for the end; "
              f"exit status 1 if it is not reached within {_LONGEST:g} s")  # fmt: skip
@click.option("--status", "only_look", is_flag=True, help="only show how far the proxies are")
@click.option("--json", "as_json", is_flag=True, help="print JSON: pace in sessions a minute")
@click.pass_context
def command(ctx: click.Context, now: bool, only_look: bool, as_json: bool) -> None:
    """Move sessions to where their slots rank them now, after a node has joined or come back. No client notices.

    The proxies do that by themselves, too, at a pace that nobody feels; they pause while a node is being drained, is
    suspect or dead, or Redis is away. away: sessions that are not where they belong.

    \b
    Example:
      flux scale 4 && flux rebalance --now
      flux rebalance --status
    """
    if now and only_look:
        raise click.UsageError("--now moves sessions, --status only looks: give one of them", ctx)
    cluster = cluster_of(ctx)
    proxies = running(cluster)
    if not proxies:
        raise CommandError("no proxy is running, so there is nobody to move sessions; see `flux status`")
    faults = [] if only_look else _start(cluster, proxies, now)
    if now and not faults:
        answers, faults = _wait(proxies)
    else:
        answers, unheard = _look(proxies)
        faults += [fault for fault in unheard if fault not in faults]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"proxies": answers})).decode())
    elif answers:
        out.print(_table(answers))
    if faults:
        raise CommandError("; ".join(faults))


def finish(cluster: Cluster) -> list[str]:
    """Have every session moved to where it belongs, and wait for it. Returns what went wrong."""
    proxies = running(cluster)
    return _start(cluster, proxies, True) or _wait(proxies)[1]


def running(cluster: Cluster) -> list[ProxyRecord]:
    """Return the proxies that have neither stopped nor died, also if nobody has declared them dead yet."""
    snapshot = cluster.snapshot()
    return [proxy for proxy in snapshot.proxies.values() if shown_state(proxy, snapshot) not in GONE]


def _start(cluster: Cluster, proxies: Iterable[ProxyRecord], now: bool) -> list[str]:
    """Ask every proxy to begin, also when one of them cannot. Returns what went wrong."""
    faults: list[str] = []
    for proxy in proxies:
        try:
            cluster.post(proxy.id, "/rebalance?now=1" if now else "/rebalance")
        except CommandError as error:
            if str(error) not in faults:
                faults.append(str(error))
    return faults


def _look(proxies: Iterable[ProxyRecord]) -> tuple[list[Answer], list[str]]:
    """Return what the proxies say, and of those that do not answer why."""
    answers: list[Answer] = []
    faults: list[str] = []
    for proxy in proxies:
        try:
            answers.append(admin_client.get(proxy.admin_host, proxy.admin_port, "/rebalance"))
        except CommandError as error:
            faults.append(f"{proxy.id}: {error}")
    return answers, faults


def _wait(proxies: list[ProxyRecord]) -> tuple[list[Answer], list[str]]:
    """Look until every session is where it belongs, the time is over, or a proxy is silent. Returns the last look."""
    started = heard = time.monotonic()
    with _bar() as show:
        while True:
            answers, faults = _look(proxies)
            now = time.monotonic()
            if not faults:
                heard = now
                if not any(answer["away"] or answer["moving"] for answer in answers):
                    return answers, []
                if now - started > _LONGEST:
                    return answers, [_unfinished(answers)]
            elif now - heard > _SILENCE or now - started > _LONGEST:
                return answers, faults
            show(answers)
            time.sleep(_LOOK)


def _unfinished(answers: Iterable[Answer]) -> str:
    left = ", ".join(
        f"{answer['id']} has {answer['away']} away, {answer['moving']} moving"
        + (f" (paused: {answer['paused']})" if answer["paused"] else "")
        for answer in answers
        if answer["away"] or answer["moving"]
    )
    return f"not done after {_LONGEST:g} s: {left}; `flux rebalance --status` shows how it goes on"


@contextmanager
def _bar() -> Iterator[Any]:
    """Yield what shows how many sessions are away; it draws nothing where nobody watches."""
    if not err.is_terminal:
        yield lambda answers: None
        return
    columns = (TextColumn("rebalancing"), BarColumn(), TextColumn("{task.fields[left]} sessions away"),
               TimeElapsedColumn(), TextColumn("{task.fields[why]}"))  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("", total=1, left=0, why="")
        most = 1

        def show(answers: list[Answer]) -> None:
            nonlocal most
            left = sum(answer["away"] for answer in answers)
            most = max(most, left)
            paused = {answer["paused"] for answer in answers} - {""}
            why = escape(f"paused: {', '.join(sorted(paused))}") if paused else ""
            progress.update(bar, total=most, completed=most - left, left=left, why=why)

        yield show


def _table(answers: Iterable[Answer]) -> Table:
    table = plain_table()
    for name in ("proxy", "away", "moving", "pace", "paused"):
        table.add_column(name, justify="left" if name in ("proxy", "paused") else "right")
    for answer in answers:
        pace = "at once" if answer["now"] else f"{answer['pace']:.0f}/min"
        paused = escape(answer["paused"]) or "no"
        table.add_row(answer["id"], str(answer["away"]), str(answer["moving"]), pace, paused)
    return table
