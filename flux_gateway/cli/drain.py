"""`flux drain`: make a node give up its sessions, and wait for the end if asked to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.terminal import err
from flux_gateway.core.errors import CommandError
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.runtime import admin_client

_LONGEST_WINDOW = 3600.0
"""Seconds of the longest window that a node accepts."""
_MARGIN = 2.0
"""Seconds after the window in which the node cuts what has not left by itself."""
_LOOK = 0.2
"""Seconds between two looks at the node."""
_SILENCE = 10.0
"""Seconds that the node may be too busy to answer."""


@click.command("drain")
@click.argument("node")
@click.option("--seconds", type=click.FloatRange(0, _LONGEST_WINDOW),
              help="time until the last client must be gone [default: the node's setting]")  # fmt: skip
@click.option("--wait", is_flag=True, help="return when the node holds no session any more; exit status 1 if it "
              "still does at the end of the window")  # fmt: skip
@click.pass_context
def command(ctx: click.Context, node: str, seconds: float | None, wait: bool) -> None:
    """NODE takes no new sessions, and the proxies move its own to other nodes; no client notices. It stays up, empty.

    Clients whose session cannot move (no other node takes it, no proxy in front) are closed with 1012, spread over
    the window.

    \b
    Example:
      flux drain gateway-1 --seconds 10 --wait
    """
    cluster = cluster_of(ctx)
    record = cluster.node(node)
    answer = cluster.post(node, "/drain" if seconds is None else f"/drain?seconds={seconds:g}")
    click.echo(f"{node} is {answer['state']}; {answer['sessions']} sessions to give up")
    if wait:
        started = time.monotonic()
        _wait_until_empty((record.host, record.admin_port), node, answer["sessions"], seconds)
        click.echo(f"{node} is empty after {time.monotonic() - started:.1f} s")


def _wait_until_empty(admin: tuple[str, int], node: str, sessions: int, seconds: float | None) -> None:
    """Raises `CommandError` if sessions are left, if the node takes sessions again, or if it does not answer."""
    started = heard = time.monotonic()
    window, left = _LONGEST_WINDOW if seconds is None else seconds, sessions
    with _bar(node, sessions) as show:
        while left:
            now = time.monotonic()
            if now > started + window + _MARGIN:
                raise CommandError(
                    f"{node} still holds {left} sessions though the window is over; a drain that was running already "
                    "keeps its own, longer window. `flux status` shows it; `flux undrain` ends the drain"
                )
            try:
                info = admin_client.get(*admin, "/info")
            except CommandError:
                if now - heard > _SILENCE:
                    raise
            else:
                heard, left = now, info["connections"]
                if info["state"] == NodeState.UP:
                    raise CommandError(f"{node} takes sessions again: somebody has undrained or restarted it")
                if seconds is None:
                    # A node of an older release does not tell its window.
                    window = info.get("drain_timeout", _LONGEST_WINDOW)
                show(left)
            time.sleep(_LOOK if left else 0.0)


@contextmanager
def _bar(node: str, sessions: int) -> Iterator[Any]:
    """Yield what shows how many sessions are left; it draws nothing where nobody watches."""
    if not err.is_terminal:
        yield lambda left: None
        return
    columns = (TextColumn("draining {task.description}"), BarColumn(), TextColumn("{task.fields[left]} sessions left"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task(node, total=sessions, left=sessions)
        yield lambda left: progress.update(bar, completed=sessions - left, left=left)
