"""`flux verify`: check that the cluster serves clients."""

import sys
import urllib.request
from collections.abc import Callable
from typing import Any

import click
import msgspec
from websockets.sync.client import connect

from flux_gateway.cli import server_api
from flux_gateway.cli.cluster import Cluster
from flux_gateway.cli.selection import cluster_of
from flux_gateway.cli.status import shown_state
from flux_gateway.cli.terminal import err, out, plain_table
from flux_gateway.core.lifecycle import NodeState

_TIMES = 100
"""How often the same key must reach the same node."""


@click.command("verify")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check registry, nodes, an echo through the proxy, affinity, messaging, dashboard. Exit status 0 or 1.

    \b
    Example:
      flux verify
    """
    cluster = cluster_of(ctx)
    results = []
    with err.status("verifying ..."):
        for name, check in CHECKS:
            results.append({"check": name, **_outcome(check, cluster)})
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(results)).decode())
    else:
        table = plain_table()
        for column in ("check", "result", "seen"):
            table.add_column(column)
        for result in results:
            mark = "[green]ok[/]" if result["ok"] else "[bold red]FAILED[/]"
            table.add_row(result["check"], mark, result["seen"])
        out.print(table)
    sys.exit(0 if all(result["ok"] for result in results) else 1)


def _outcome(check: Callable[[Cluster], str], cluster: Cluster) -> dict[str, Any]:
    try:
        return {"ok": True, "seen": check(cluster)}
    except Exception as error:
        # Whatever went wrong is the finding; the other checks still run.
        return {"ok": False, "seen": f"{error or type(error).__name__}"}


class _Finding(Exception):
    """What a check found wrong."""


def _registry(cluster: Cluster) -> str:
    snapshot = cluster.snapshot()
    return f"{len(snapshot.nodes)} nodes, {len(snapshot.proxies)} proxies registered"


def _nodes(cluster: Cluster) -> str:
    snapshot = cluster.snapshot()
    states = {node.id: shown_state(node, snapshot) for node in snapshot.nodes.values()}
    wrong = [f"{node_id} is {state}" for node_id, state in states.items() if state is not NodeState.UP]
    if wrong or not states:
        raise _Finding(", ".join(wrong) or "no node is registered")
    return ", ".join(f"{node_id} UP" for node_id in states)


def _echo(cluster: Cluster) -> str:
    with connect(f"{cluster.url}/echo", open_timeout=5) as socket:
        for message in ("flux ✓", b"\x00\xff" * 1000):
            socket.send(message)
            answer = socket.recv(timeout=5)
            if answer != message:
                raise _Finding(f"sent {message!r:.40}, got {answer!r:.40}")
        node = socket.response.headers["X-Flux-Node"] if socket.response else "?"
    return f"text and binary came back unchanged from {node}"


def _affinity(cluster: Cluster) -> str:
    reached = set()
    for _ in range(_TIMES):
        with connect(f"{cluster.url}/whoami?session=verify", open_timeout=5) as socket:
            socket.send("?")
            reached.add(msgspec.json.decode(socket.recv(timeout=5))["node"])
    if len(reached) != 1:
        raise _Finding(f"one key reached {', '.join(sorted(reached))}")
    return f"the same session key reached {reached.pop()} {_TIMES} times"


def _messaging(cluster: Cluster) -> str:
    if not cluster.api_key_file:
        return "not looked at: no api_key_file is known here"
    key = server_api.read_key(None, cluster)
    answered = {node["uid"] for node in server_api.through_a_proxy(cluster, "info", b"{}", key)["nodes"]}
    silent = {node.id for node in cluster.snapshot().nodes.values() if node.state is NodeState.UP} - answered
    if silent:
        raise _Finding(f"{', '.join(sorted(silent))} did not answer the others through Redis")
    return f"{', '.join(sorted(answered))} answer each other through Redis"


def _dashboard(cluster: Cluster) -> str:
    if not cluster.dashboard_url:
        return "there is none, by the configuration"
    with urllib.request.urlopen(cluster.dashboard_url, timeout=5) as page:  # noqa: S310 - our own http address
        if page.status != 200:
            raise _Finding(f"HTTP status {page.status}")
    return cluster.dashboard_url


CHECKS: tuple[tuple[str, Callable[[Cluster], str]], ...] = (
    ("registry answers", _registry),
    ("every node is UP", _nodes),
    ("echo through the proxy", _echo),
    (f"affinity, {_TIMES} times", _affinity),
    ("messaging between nodes", _messaging),
    ("dashboard answers", _dashboard),
)
