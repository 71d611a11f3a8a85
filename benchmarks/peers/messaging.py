"""Nodes of our own as messaging servers, and what their clients say."""

from pathlib import Path

import msgspec

from benchmarks.peers import addresses, flux
from benchmarks.peers.process import Process
from flux_gateway.core.frames import TEXT
from flux_gateway.load.frames import client_frame

PATH = "/connection/websocket"
HISTORY = "kept:"
"""How channels with history begin."""

CONNECTED = b'"connect":'
"""In the answer to `hello` when the client is connected."""
READY = b'"subscribe":'
"""In the same when the subscription stands."""

_NAMESPACES = {"kept": {"history_size": 100, "history_ttl": 600, "force_recovery": True, "force_positioning": True}}

_OPTIONS: dict[str, str | int] = {
    "messaging-insecure": "true",
    # The others do not ping of themselves, so nobody does.
    "messaging-ping-interval": 3600,
    "messaging-namespaces": msgspec.json.encode(_NAMESPACES).decode(),
}


def node(folder: Path, address: tuple[str, int] = addresses.NODE, *, measured: bool = True) -> Process:
    """Start a node whose clients need no token. Channels are without history, unless they begin with `HISTORY`."""
    return flux.gateway(folder, measured=measured, address=address, options=_OPTIONS)


def hello(channel: str = "") -> bytes:
    """Return the frame with which a client connects, and perhaps subscribes."""
    commands = [b'{"connect":{},"id":1}']
    if channel:
        commands.append(msgspec.json.encode({"subscribe": {"channel": channel}, "id": 2}))
    return client_frame(TEXT, b"\n".join(commands))


def back(channel: str, offset: int, epoch: str) -> bytes:
    """Return the frame with which a client comes back to a channel that it knows up to a position."""
    subscribe = {"channel": channel, "recover": True, "offset": offset, "epoch": epoch}
    commands = (b'{"connect":{},"id":1}', msgspec.json.encode({"subscribe": subscribe, "id": 2}))
    return client_frame(TEXT, b"\n".join(commands))


def publish(channel: str, data: bytes) -> bytes:
    """Return the frame with which a client publishes JSON."""
    command = {"publish": {"channel": channel, "data": msgspec.Raw(data)}, "id": 3}
    return client_frame(TEXT, msgspec.json.encode(command))
