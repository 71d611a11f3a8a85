"""The admin port of a node, as far as the dashboard uses it."""

import http.client

from flux_gateway.core.errors import FluxError
from flux_gateway.core.membership import NodeRecord

DEADLINE = 2.0
"""Seconds for each step: connecting, and waiting for the answer."""


class NodeRefused(FluxError):
    """The node did not do what it was asked; the text says why."""


def post(node: NodeRecord, action: str, token: str) -> None:
    """Ask a node to `drain` or `undrain`. Raises `NodeRefused`."""
    connection = http.client.HTTPConnection(node.host, node.admin_port, timeout=DEADLINE)
    try:
        connection.request("POST", f"/{action}", headers={"Authorization": f"Bearer {token}", "Content-Length": "0"})
        answer = connection.getresponse()
        body = answer.read(300).decode("utf-8", "replace").strip()
    except TimeoutError as error:
        raise NodeRefused(f"{node.id} did not answer within {DEADLINE:.0f} s") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise NodeRefused(f"{node.id} cannot be reached: {reason}") from error
    finally:
        connection.close()
    if not 200 <= answer.status < 300:
        raise NodeRefused(f"{node.id} answered {answer.status} {answer.reason}: {body}".removesuffix(": "))
