"""HAProxy as the other relay: TCP mode, one thread, PROXY protocol v2 to the same node."""

import shutil
import subprocess
from pathlib import Path

from benchmarks.peers import addresses
from benchmarks.peers.process import Process
from flux_gateway.core.errors import CommandError

_CONFIG = """\
global
    nbthread 1
    maxconn 8000

defaults
    mode tcp
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout client-fin 5s

listen relay
    bind {host}:{port} backlog 4096
    server node {node_host}:{node_port} send-proxy-v2 source {host}
"""
"""Time limits as our proxy has them: a dial of 1 s, no limit of silence, 5 s to leave after a close."""


def _binary() -> str:
    found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if found is None:
        raise CommandError("haproxy is not installed: install Debian's package haproxy")
    return found


def version() -> str:
    """Return HAProxy's version."""
    text = subprocess.run([_binary(), "-v"], capture_output=True, text=True, check=True).stdout
    return text.split("version ")[1].split("-")[0]


def haproxy(folder: Path) -> Process:
    """Start HAProxy."""
    (host, port), (node_host, node_port) = addresses.HAPROXY, addresses.NODE
    config = folder / "haproxy.cfg"
    config.write_text(_CONFIG.format(host=host, port=port, node_host=node_host, node_port=node_port))
    argv = [_binary(), "-db", "-f", str(config)]
    return Process(argv, addresses.HAPROXY, folder / "haproxy.log", measured=True)
