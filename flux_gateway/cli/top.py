"""`flux top`: live view of the cluster in the terminal."""

import time

import click
from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.status import shown_links, shown_moves, shown_state
from flux_gateway.cli.terminal import STATE_STYLE, out, plain_table, size
from flux_gateway.core.errors import RegistryUnavailable
from flux_gateway.core.membership import Snapshot
from flux_gateway.core.timeline import Event


@click.command("top")
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 60), help="seconds")
@click.option("--once", is_flag=True, help="print one view and end")
@click.pass_context
def command(ctx: click.Context, interval: float, once: bool) -> None:
    """Nodes, proxies and the last events, live, until Ctrl-C.

    \b
    Example:
      flux top --interval 0.5
    """
    cluster = cluster_of(ctx)
    if once:
        out.print(_view(cluster, None)[0])
        return
    last: Snapshot | None = None
    view, last = _view(cluster, last)
    with Live(view, console=out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(view, refresh=True)
            time.sleep(interval)
            view, last = _view(cluster, last)


def _view(cluster: Cluster, last: Snapshot | None) -> tuple[Group, Snapshot | None]:
    events: list[Event] = []
    try:
        snapshot = cluster.snapshot()
        events = cluster.reader.timeline(12)
        head = Text(f"Flux {cluster.url}   {time.strftime('%H:%M:%S')}", style="bold")
    except RegistryUnavailable as error:
        if last is None:
            raise
        snapshot = last
        head = Text(f"Redis is away, this is old: {error}", style="bold red")
    connections = sum(node.connections for node in snapshot.nodes.values())
    rate = sum(node.messages_in for node in snapshot.nodes.values())
    head.append(f"   {connections} sessions   {rate:.0f} messages/s", style="default")
    return Group(head, _nodes(snapshot), _proxies(snapshot), _events(events)), snapshot


def _nodes(snapshot: Snapshot) -> Table:
    table = plain_table("nodes")
    for name in ("id", "state", "sessions", "share", "in/s", "out/s", "cpu", "rss", "lag", "beat"):
        table.add_column(name, justify="left" if name in ("id", "state", "share") else "right", no_wrap=True)
    most = max((node.connections for node in snapshot.nodes.values()), default=0)
    for node in snapshot.nodes.values():
        state = shown_state(node, snapshot)
        age = snapshot.heartbeat_age.get(node.id)
        table.add_row(
            node.id,
            f"[{STATE_STYLE[state]}]{state}[/]",
            str(node.connections),
            "█" * round(8 * node.connections / most) if most else "",
            f"{node.messages_in:.0f}",
            f"{node.messages_out:.0f}",
            f"{node.cpu:.0f} %",
            size(node.rss),
            f"{node.lag * 1000:.0f} ms",
            "gone" if age is None else f"{age:.0f} s",
        )
    return table


def _proxies(snapshot: Snapshot) -> Table:
    table = plain_table("proxies")
    for name in ("id", "state", "clients", "cpu", "rss", "links", "moved"):
        table.add_column(name, justify="left" if name in ("id", "state", "links", "moved") else "right")
    for proxy in snapshot.proxies.values():
        state = shown_state(proxy, snapshot)
        table.add_row(
            proxy.id, f"[{STATE_STYLE[state]}]{state}[/]", str(proxy.connections), f"{proxy.cpu:.0f} %",
            size(proxy.rss), shown_links(proxy.links), shown_moves(proxy.moves),
        )  # fmt: skip
    return table


def _events(events: list[Event]) -> Panel:
    lines = [
        f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.subject:<12} {event.kind:<10} {event.detail}"
        + (f"  (by {event.by})" if event.by != event.subject else "")
        for event in events
    ]
    return Panel(Text("\n".join(lines) or "nothing yet"), title="events", title_align="left")
