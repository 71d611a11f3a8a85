"""What a proxy and a node say to each other over the link (design, sections 6 and 7), as JSON text messages."""

import msgspec

from flux_gateway.core.lifecycle import NodeState


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Are you there? Answered with a `Status` of the same `sequence`."""

    sequence: int


class Detach(msgspec.Struct, frozen=True, tag="detach"):
    """Proxy to node: these sessions are to move. Each is answered by its name in a `Detaching` or a `Refused`."""

    sessions: list[str]


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Proxy to node: these sessions were attached elsewhere while you were out of reach.

    By session id the fencing number of the attach; a copy with a lower one is dropped without a word to anybody.
    """

    sessions: dict[str, int]


class Status(msgspec.Struct, frozen=True, tag="status"):
    """A node's state and load: answer to a ping, and sent unasked (`sequence` 0) when the state changes."""

    sequence: int
    state: NodeState
    connections: int


class Detaching(msgspec.Struct, frozen=True, tag="detaching"):
    """Node to proxy: the end of these sessions' streams will be taken as the barrier of a move, not as a client's."""

    sessions: list[str]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Node to proxy: these sessions cannot move now; by session id, why."""

    sessions: dict[str, str]


class Released(msgspec.Struct, frozen=True, tag="released"):
    """Node to proxy: the stream has ended, here is the session; this node knows it no more.

    `state` is what `core.frozen` encodes; `residual` are the client's bytes since the last message boundary.
    """

    session: str
    state: bytes
    residual: bytes


ToNode = Ping | Detach | Drop
ToProxy = Status | Detaching | Refused | Released

_to_node: msgspec.json.Decoder[ToNode] = msgspec.json.Decoder(ToNode)
_to_proxy: msgspec.json.Decoder[ToProxy] = msgspec.json.Decoder(ToProxy)

encode = msgspec.json.encode

OVERHEAD = 524_288
"""Bytes a message may have beside the residual it carries."""


def size_limit(residual: int) -> int:
    """Return the longest message in bytes, when a residual has up to `residual` bytes: they travel as base64."""
    return residual * 4 // 3 + OVERHEAD


def decode_at_node(data: str | bytes) -> ToNode:
    """Read one message of a proxy. Raises `msgspec.DecodeError` when it is none of these."""
    return _to_node.decode(data)


def decode_at_proxy(data: str | bytes) -> ToProxy:
    """Read one message of a node. Raises `msgspec.DecodeError` when it is none of these."""
    return _to_proxy.decode(data)
