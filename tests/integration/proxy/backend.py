"""A node that is none: a bare listening socket in the registry, to see and to say exactly what a test wants."""

import json
import socket
import time
from types import TracebackType
from typing import Self

from flux_gateway.core import proxy_protocol
from flux_gateway.core.proxy_protocol import ProxyHeader
from tests.processes import Daemon, Stack, until


class Backend:
    """Listens like a node. Without a link it is dialled only when no real node is left ("fail open")."""

    def __init__(self, address: tuple[str, int], receive_buffer: int = 0) -> None:
        self.address = address
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(address)
        self._listener.listen(64)
        self._listener.settimeout(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def stop_listening(self) -> None:
        """From now on refuse connections."""
        self._listener.close()

    def register(self, stack: Stack, node_id: str) -> None:
        """Put a record and a heartbeat into the registry."""
        host, port = self.address
        now = time.time()
        record = {"id": node_id, "host": host, "port": port, "admin_port": 7100, "state": "UP", "started_at": now,
                  "heartbeat_at": now}  # fmt: skip
        with stack.registry() as registry:
            registry.set(f"gateway:heartbeat:{node_id}", "1", ex=600)
            registry.hset("gateway:nodes", node_id, json.dumps(record))

    def wait_known(self, proxy: Daemon) -> None:
        """Wait until the proxy has read the record."""
        def known() -> bool:
            try:
                return any(self.address[0] in line for line in proxy.said().splitlines() if "node known" in line)
            except OSError:
                return False

        until(known, "the proxy knows the backend", 20)

    def accept(self) -> tuple[ProxyHeader, bytes, socket.socket]:
        """Take the next connection: its PROXY header, the bytes after it up to the head's end, and the socket."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        data = b""
        while b"\r\n\r\n" not in data[16:]:
            more = connection.recv(65536)
            assert more, f"ended within the head: {data!r}"
            data += more
        found = proxy_protocol.decode(data)
        assert found is not None
        header, used = found
        return header, data[used:], connection
