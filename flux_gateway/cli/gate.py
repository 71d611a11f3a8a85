"""The gate between two turns of a rolling restart: whether a restarted process does its work again."""

from flux_gateway.cli.local import LocalCluster
from flux_gateway.cli.rebalance import running
from flux_gateway.cli.status import shown_state
from flux_gateway.core.errors import CommandError, RegistryUnavailable
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord, ProxyRecord
from flux_gateway.runtime import admin_client
from flux_gateway.supervisor.protocol import ProcessStatus


def objection(cluster: LocalCluster, process: ProcessStatus) -> str:
    """Return why the process does not do its work yet; empty when it does.

    A node does when it is ready, UP in the registry, and every proxy would send it clients. A proxy does when it is
    ready, UP in the registry, and would send clients to every node that is UP. The registry must speak of this very
    process, not of the one before.
    """
    if process.pid is None:
        return f"it does not run ({process.last_exit or 'not started yet'})"
    if not process.ready:
        return "it is not ready"
    try:
        snapshot = cluster.snapshot()
        record: NodeRecord | ProxyRecord | None
        record = snapshot.nodes.get(process.name) or snapshot.proxies.get(process.name)
        if record is None or record.pid != process.pid:
            return "it is not in the registry"
        state = shown_state(record, snapshot)
        if state is not NodeState.UP:
            return f"it is {state} in the registry"
        if isinstance(record, ProxyRecord):
            up = [node.id for node in snapshot.nodes.values() if shown_state(node, snapshot) is NodeState.UP]
            return _unused(record, up)
        return next(filter(None, (_unused(proxy, [record.id]) for proxy in running(cluster))), "")
    except (CommandError, RegistryUnavailable) as error:
        return str(error)


def _unused(proxy: ProxyRecord, nodes: list[str]) -> str:
    """Return which of the nodes the proxy sends no clients to."""
    known = admin_client.get(proxy.admin_host, proxy.admin_port, "/info")["nodes"]
    unused = [node_id for node_id in nodes if node_id not in known or not known[node_id]["usable"]]
    return f"{proxy.id} does not use {', '.join(unused)}" if unused else ""
