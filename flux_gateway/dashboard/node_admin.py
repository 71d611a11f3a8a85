"""The admin port of a node, as far as the dashboard uses it."""

from flux_gateway.core.membership import NodeRecord
from flux_gateway.runtime import admin_client

DEADLINE = 2.0
"""Seconds for each step: connecting, and waiting for the answer."""


def post(node: NodeRecord, action: str, token: str) -> None:
    """Ask a node to `drain` or `undrain`. Raises `CommandError` with what the node objected."""
    admin_client.post(node.host, node.admin_port, f"/{action}", token, DEADLINE, who=node.id)
