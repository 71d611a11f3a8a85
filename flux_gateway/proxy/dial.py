"""One attempt to connect to a node, counted in the node's load from the first moment to the last."""

import socket

from flux_gateway.proxy.nodes import Node
from flux_gateway.runtime import tcp
from flux_gateway.runtime.poller import OUT, Handler, Poller


class Dial:
    """Owns the backend's socket until it is given away or dropped."""

    __slots__ = ("_poller", "node", "socket")

    def __init__(self, poller: Poller, node: Node, source: str, on_ready: Handler) -> None:
        """Begin to connect; `on_ready` is called when it is connected or has failed. Raises OSError if it fails now."""
        self._poller = poller
        self.node = node
        self.socket = tcp.dial(node.record.host, node.record.port, source)
        node.opening += 1
        poller.register(self.socket.fileno(), OUT, on_ready)

    @property
    def refused(self) -> bool:
        """Whether the connection has failed; valid once `on_ready` was called."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def give_away(self) -> tuple[Node, socket.socket]:
        """Return the node and the socket, which is registered still; both are the caller's."""
        self.node.opening -= 1
        return self.node, self.socket

    def drop(self) -> None:
        """Close the socket: nobody wants the connection any more."""
        self.node.opening -= 1
        self._poller.unregister(self.socket.fileno())
        self.socket.close()
