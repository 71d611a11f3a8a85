"""`flux stat`: one line per interval of a node's inner life, like `jstat -gc`."""

import itertools
import time
from typing import Any

import click
import msgspec

from flux_gateway.cli.selection import cluster_of
from flux_gateway.runtime import admin_client

_HEADERS = (
    ("gen0", 6), ("coll0", 8), ("gen1", 6), ("coll1", 8), ("gen2", 5), ("coll2", 8),
    ("rss_kib", 9), ("cpu_%", 6), ("conns", 7), ("in/s", 9), ("out/s", 9), ("lag_ms", 7),
)  # fmt: skip
_MOVES = (("moved", 7), ("reatt", 6), ("failed", 6), ("p50_ms", 7), ("p99_ms", 7))
"""What proxies have on top."""
_REPEAT = 20
"""Lines after which the header is printed again."""


@click.command("stat")
@click.argument("member")
@click.argument("interval_ms", default=1000, type=click.IntRange(10, 3_600_000))
@click.argument("count", default=0, type=click.IntRange(0))
@click.option("--dump", is_flag=True, help="print the stacks of all threads and tasks instead")
@click.option("--json", "as_json", is_flag=True, help="one JSON object per line")
@click.pass_context
def command(ctx: click.Context, member: str, interval_ms: int, count: int, dump: bool, as_json: bool) -> None:
    """Show the inner life of MEMBER (a node or proxy): a line every INTERVAL_MS, COUNT lines (0: until Ctrl-C).

    genN: garbage collections of generation N since the start; collN: objects collected. in/s, out/s: messages
    a second. lag_ms: the worst delay of the event loop in the interval. A proxy also shows the sessions it has moved,
    reattached, and failed to move in the interval, and the pause of those of the last minute, p50 and p99.

    \b
    Example:
      flux stat gateway-1 1000 10
      flux stat gateway-1 --dump
    """
    cluster = cluster_of(ctx)
    if dump:
        _print_stacks(cluster.post(member, "/dump"))
        return
    host, port = cluster.member(member)
    before = admin_client.get(host, port, "/stat")
    deadline = time.monotonic()
    for number in itertools.count(1):
        deadline += interval_ms / 1000
        time.sleep(max(0.0, deadline - time.monotonic()))
        now = admin_client.get(host, port, "/stat")
        values = _line(before, now)
        headers = _HEADERS + (_MOVES if "moved" in values else ())
        if as_json:
            click.echo(msgspec.json.encode(values))
        else:
            if number % _REPEAT == 1:
                click.echo(" ".join(f"{name:>{width}}" for name, width in headers))
            click.echo(" ".join(f"{values[name]:>{width}}" for name, width in headers))
        before = now
        if number == count:
            return


def _line(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    seconds = max(now["time"] - before["time"], 1e-3)
    values: dict[str, Any] = {}
    for number, generation in enumerate(now["gc"]):
        values[f"gen{number}"] = generation["collections"]
        values[f"coll{number}"] = generation["collected"]
    values["rss_kib"] = now["rss"] // 1024
    values["cpu_%"] = round(100 * (now["cpu_seconds"] - before["cpu_seconds"]) / seconds, 1)
    values["conns"] = now["connections"]
    values["in/s"] = round((now["messages_in"] - before["messages_in"]) / seconds, 1)
    values["out/s"] = round((now["messages_out"] - before["messages_out"]) / seconds, 1)
    values["lag_ms"] = round(now["lag"] * 1000, 1)
    if "moves" in now:
        for name, reason in (("moved", "move"), ("reatt", "reattach"), ("failed", "failed")):
            values[name] = now["moves"].get(reason, 0) - before.get("moves", {}).get(reason, 0)
        values["p50_ms"] = round(now["pause_p50"] * 1000, 1)
        values["p99_ms"] = round(now["pause_p99"] * 1000, 1)
    return values


def _print_stacks(stacks: dict[str, list[str]]) -> None:
    for name, lines in stacks.items():
        click.echo(f"{name}:")
        for line in lines:
            click.echo(line)
        click.echo()
