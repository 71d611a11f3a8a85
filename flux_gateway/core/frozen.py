"""A session as bytes: everything it is beside the client's unfinished bytes (design, section 7).

One byte of version, then a MessagePack map. Within a version fields may be added, with a default: an older node ignores
what it does not know. Any other change is a new version, with a step in `UPGRADES` from the one before.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from flux_gateway.core.errors import ThawError, Unmovable

VERSION = 1
LIMIT = 262_144
"""Longest encoded form, bytes; as base64 it leaves room for the rest in `core.link.OVERHEAD`."""

Fields = dict[str, Any]

UPGRADES: dict[int, Callable[[Fields], Fields]] = {}
"""By version: makes of its fields those of the next one. A node thaws what the version before its own has frozen."""


class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session without its unfinished bytes. `path` is its endpoint, `connected_at` is unix seconds.

    `moves` counts its moves, `extensions` is the negotiated `Sec-WebSocket-Extensions` or an empty string.
    """

    session: str
    path: str
    connected_at: float
    moves: int
    extensions: str
    awaiting_pong: bool = False
    application: bytes = b""
    """State of what the session talks to, in that part's own format; empty where it has none."""


def encode(frozen: Frozen) -> bytes:
    """Return the session as bytes. Raises `Unmovable` when they would be more than `LIMIT`."""
    data = bytes((VERSION,)) + msgspec.msgpack.encode(frozen)
    if len(data) > LIMIT:
        raise Unmovable(f"state of {len(data)} bytes is too large to carry")
    return data


def decode(data: bytes) -> Frozen:
    """Read a session. Raises `ThawError` when this node cannot: the text says why, and what to do."""
    if len(data) > LIMIT:
        raise ThawError(f"state of {len(data)} bytes, more than {LIMIT}")
    if not data:
        raise ThawError("no state")
    version = data[0]
    if version > VERSION:
        raise ThawError(f"frozen by a newer version ({version}, this node knows {VERSION}): update this node first")
    try:
        if version == VERSION:
            return msgspec.msgpack.decode(data[1:], type=Frozen)
        if version == VERSION - 1 and version in UPGRADES:
            fields = msgspec.msgpack.decode(data[1:], type=Fields)
            return msgspec.convert(UPGRADES[version](fields), Frozen)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        raise ThawError(f"not the state of a session: {error}") from error
    raise ThawError(f"frozen by version {version}, too old for this node, which knows {VERSION}")
