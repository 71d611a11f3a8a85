"""`flux status`: nodes and proxies."""

from typing import Any

import click
import msgspec
from rich.table import Table

from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.terminal import STATE_STYLE, out, plain_table, size
from flux_gateway.core.lifecycle import GONE, NodeState
from flux_gateway.core.liveness import LinkState
from flux_gateway.core.membership import NodeRecord, ProxyRecord, Snapshot


def shown_state(record: NodeRecord | ProxyRecord, snapshot: Snapshot) -> NodeState:
    """Return the state to show: DEAD as soon as the heartbeat is gone, whoever may declare it later."""
    if record.state not in GONE and record.id not in snapshot.heartbeat_age:
        return NodeState.DEAD
    return record.state


def rows(snapshot: Snapshot) -> dict[str, list[dict[str, Any]]]:
    """Return nodes and proxies as plain values."""
    nodes = [
        {
            "id": node.id,
            "state": shown_state(node, snapshot),
            "host": node.host,
            "port": node.port,
            "connections": node.connections,
            "heartbeat_age": _age(snapshot, node.id),
            "rss": node.rss,
            "cpu": node.cpu,
            "version": node.version,
        }
        for node in snapshot.nodes.values()
    ]
    proxies = [
        {
            "id": proxy.id,
            "state": shown_state(proxy, snapshot),
            "host": proxy.host,
            "port": proxy.port,
            "connections": proxy.connections,
            "heartbeat_age": _age(snapshot, proxy.id),
            "rss": proxy.rss,
            "cpu": proxy.cpu,
            "version": proxy.version,
            "links": proxy.links,
            "moves": proxy.moves,
        }
        for proxy in snapshot.proxies.values()
    ]
    return {"nodes": nodes, "proxies": proxies}


def _age(snapshot: Snapshot, member_id: str) -> float | None:
    age = snapshot.heartbeat_age.get(member_id)
    return None if age is None else round(age, 1)


_HEADINGS = {"connections": "conns", "heartbeat_age": "heartbeat"}


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="print JSON: sizes in bytes, times in seconds")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show every node and proxy: state, address, connections, heartbeat, memory, CPU.

    \b
    Example:
      flux status --json
    """
    cluster = cluster_of(ctx)
    found = rows(cluster.snapshot())
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    out.print(f"[dim]{cluster.title}[/]", soft_wrap=True)
    for title in ("nodes", "proxies"):
        out.print(_table(title, found[title]))


def _table(title: str, entries: list[dict[str, Any]]) -> Table:
    table = plain_table(title)
    columns = [name for name in (entries[0] if entries else {"id": ""}) if name not in ("links", "moves")]
    for name in columns:
        left = name in ("id", "state", "host", "version")
        table.add_column(_HEADINGS.get(name, name), justify="left" if left else "right", no_wrap=True)
    if entries and "links" in entries[0]:
        table.add_column("links")
        table.add_column("sessions moved")
    for entry in entries:
        cells = [_cell(name, entry[name]) for name in columns]
        if "links" in entry:
            cells += [shown_links(entry["links"]), shown_moves(entry["moves"])]
        table.add_row(*cells)
    return table


def shown_links(links: dict[str, str]) -> str:
    """Return the links of a proxy in few words: all is well, or which are not."""
    bad = [f"{node} {state}" for node, state in sorted(links.items()) if state != LinkState.UP]
    return ", ".join(bad) if bad else f"{len(links)} up"


def shown_moves(moves: dict[str, int]) -> str:
    """Return how many sessions a proxy has moved, in few words: what did not happen is left out."""
    also = [
        f"{moves[name]} {word}" for name, word in (("reattach", "reattached"), ("failed", "failed")) if moves.get(name)
    ]
    return ", ".join([str(moves.get("move", 0)), *also])


def _cell(name: str, value: Any) -> str:
    if name == "state":
        return f"[{STATE_STYLE[value]}]{value}[/]"
    if name == "rss":
        return size(value)
    if name == "cpu":
        return f"{value:.1f} %"
    if name == "heartbeat_age":
        return "gone" if value is None else f"{value:.1f} s"
    return str(value)
