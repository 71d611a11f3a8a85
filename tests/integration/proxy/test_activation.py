"""A proxy as a unit of systemd: it takes the sockets it is given, and leaves them to the next process."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.gateway.wire import Wire, connect, request
from tests.processes import Stack, connects
from tests.systemd import activated, notified


@contextmanager
def proxy(stack: Stack, sockets: list[socket.socket], log: Path) -> Iterator[subprocess.Popen[Any]]:
    """Run a proxy with passed sockets; its own port is one that it could never bind."""
    host = stack.host(2, 1)
    argv = [
        sys.executable, "-m", "flux_gateway", "proxy", "--host", "192.0.2.1", "--port", "1", "--admin-host", host,
        "--admin-port", "8081", "--source", host, "--redis-host", stack.host(3, 1), "--drain-timeout", "1",
        "--token-file", str(stack.token_file), "--snapshot-interval", "0.3",
    ]  # fmt: skip
    with log.open("ab") as file:
        process = subprocess.Popen(
            activated(argv, sockets), pass_fds=[sock.fileno() for sock in sockets], stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def served(address: tuple[str, int]) -> Wire:
    """Return a WebSocket through the proxy. Whoever waits in the listener of one that starts is not turned away."""
    wire = Wire(address)
    wire.send(request())
    assert wire.answer().status == 101
    return wire


def test_it_serves_on_what_it_was_given_and_nobody_is_refused_between_two_processes(
    stack: Stack, tmp_path: Path
) -> None:
    stack.redis()
    stack.gateway()
    log = tmp_path / "proxy.log"
    with socket.create_server((stack.host(2, 1), 8080)) as one, socket.create_server((stack.host(2, 2), 8080)) as two:
        addresses = [one.getsockname(), two.getsockname()]
        with notified(tmp_path) as systemd, proxy(stack, [one, two], log) as first:
            systemd.wait("READY")
            systemd.wait("STATUS", "UP, 0 clients")
            for address in addresses:
                with served(address) as client:
                    client.echo()
            first.send_signal(signal.SIGTERM)
            systemd.wait("STOPPING")
            assert first.wait(10) == 0
        assert "listening on what systemd opened sockets=2" in log.read_text()
        # Nobody accepts now, and a client is not refused: it waits.
        with Wire(addresses[0]) as waiting:
            waiting.send(request())
            with proxy(stack, [one, two], log):
                assert waiting.answer().status in (101, 503)  # 503 only while the new one knows no node
                with served(addresses[1]) as client:
                    client.echo()
    assert not connects(addresses[0])


def test_a_client_on_a_dual_stack_socket_is_known_by_its_ipv4_address(stack: Stack, tmp_path: Path) -> None:
    stack.redis()
    node = stack.gateway(log_sessions="true")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        port = both.getsockname()[1]
        with proxy(stack, [both], tmp_path / "proxy.log"):
            served((stack.host(2, 3), port)).socket.close()
            with connect((stack.host(2, 3), port), source=stack.host(9, 7)) as client:
                client.echo()
    assert f"client={stack.host(9, 7)} " in node.said()
