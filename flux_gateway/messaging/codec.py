"""What the two encodings of the client protocol have in common."""

from collections.abc import Sequence
from typing import Protocol

from flux_gateway.core.errors import FluxError
from flux_gateway.core.frames import Buffer
from flux_gateway.messaging.codes import ClientError
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.results import Push, Result


class Malformed(FluxError):
    """A frame does not hold commands of the protocol. The client that sent it is closed with 3501."""


class NotJson(FluxError):
    """A payload for a JSON client is not JSON. The protocol closes that client with 3506."""


class Codec(Protocol):
    """Commands out of frames, and records for frames. Stateless: one object serves all clients of its encoding.

    A *record* is one reply or push, encoded once and joined with others into frames for many clients.
    """

    @property
    def name(self) -> str:
        """Return "json" or "protobuf"."""

    @property
    def opcode(self) -> int:
        """Return the opcode of its frames: `TEXT` or `BINARY`."""

    @property
    def ping(self) -> bytes:
        """Return the record of a ping: an empty reply."""

    def decode(self, payload: Buffer) -> list[Command]:
        """Return all commands of one frame, in order. Raises `Malformed`.

        The commands are for reading only: empty ones may be one object.
        """

    def reply(self, id: int, result: Result) -> bytes:  # noqa: A002 (its name in the protocol)
        """Return the record of a successful reply to command `id`. Raises `NotJson`, if it is text."""

    def error(self, id: int, error: ClientError) -> bytes:  # noqa: A002
        """Return the record of a reply that says why command `id` failed."""

    def push(self, channel: str, push: Push) -> bytes:
        """Return the record of a push; `channel` is empty if it concerns none. Raises `NotJson`, if it is text."""

    def join(self, records: Sequence[bytes]) -> bytes:
        """Return the payload of one frame with these records, at least one, in order."""
