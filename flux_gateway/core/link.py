"""What a proxy and a node say to each other over the link (design, section 6), as JSON text messages."""

import msgspec

from flux_gateway.core.lifecycle import NodeState


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Are you there? Answered with a `Status` of the same `sequence`."""

    sequence: int


class Status(msgspec.Struct, frozen=True, tag="status"):
    """A node's state and load: answer to a ping, and sent unasked (`sequence` 0) when the state changes."""

    sequence: int
    state: NodeState
    connections: int


_message: msgspec.json.Decoder[Ping | Status] = msgspec.json.Decoder(Ping | Status)

encode = msgspec.json.encode


def decode(data: str | bytes) -> Ping | Status:
    """Read one message. Raises `msgspec.DecodeError` when it is none of these."""
    return _message.decode(data)
