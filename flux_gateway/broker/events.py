"""What comes out of a channel."""

from enum import StrEnum
from typing import NamedTuple

from flux_gateway.messaging.publication import ClientInfo, Publication


class Kind(StrEnum):
    """What happened. The value is its letter on the bus."""

    PUBLICATION = "p"
    JOIN = "j"
    LEAVE = "l"


class Event(NamedTuple):
    """One message of a channel. Without a place in the stream `offset` is 0 and `epoch` empty."""

    kind: Kind
    offset: int
    epoch: str
    body: Publication | ClientInfo
    """A publication, or who joined or left."""
