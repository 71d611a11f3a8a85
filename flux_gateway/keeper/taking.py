"""Taking over what the keeper keeps, packet by packet."""

import asyncio
import logging
import socket
from collections import defaultdict
from typing import NamedTuple

from flux_gateway.keeper import protocol
from flux_gateway.keeper.link import Link
from flux_gateway.keeper.protocol import Blobs, End, Entries, Piece, Take
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """One connection from the keeper. The sockets are not blocking."""

    key: str
    meta: bytes
    blob: bytes
    """What the process before handed over; empty when it did not come to that."""
    client: socket.socket
    backend: socket.socket


class Taking:
    """What has been taken so far. It goes on where it was when the keeper has to be reached again."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bytes, socket.socket, socket.socket]] = {}
        self._blobs: defaultdict[str, list[bytes]] = defaultdict(list)
        self._whole: set[str] = set()
        self._dropped = False
        self.finished = asyncio.Event()
        self.interrupted = False
        """Whether a keeper was lost on the way."""

    async def take_from(self, link: Link) -> None:
        """Take everything. Raises OSError and TimeoutError as `Link.ask` does: call it again with the next link."""
        self.interrupted = bool(self._found)
        while not self._dropped:
            answer, descriptors = await link.ask(Take())
            if isinstance(answer, Entries):
                self._add(answer.entries, descriptors)
            elif isinstance(answer, Blobs):
                for piece in answer.pieces:
                    self._grow(piece)
            elif isinstance(answer, End):
                self.finished.set()
                return
            else:
                protocol.close(descriptors)
                raise ConnectionError(f"not an answer to the question: {answer}")

    def found(self) -> list[Kept]:
        """Return everything. Of a connection that was closed meanwhile there is nothing to see here yet."""
        blobs = {key: b"".join(parts) for key, parts in self._blobs.items() if key in self._whole}
        return [
            Kept(key, meta, blobs.get(key, b""), client, backend)
            for key, (meta, client, backend) in self._found.items()
        ]

    def drop(self) -> None:
        """Take no more, and close what has been taken."""
        self._dropped = True
        for _, client, backend in self._found.values():
            client.close()
            backend.close()
        self._found.clear()

    def _add(self, entries: list[tuple[str, bytes]], descriptors: list[int]) -> None:
        if self._dropped:
            protocol.close(descriptors)
            return
        pairs = len(descriptors) // 2
        for number, (key, meta) in enumerate(entries[:pairs]):
            pair = descriptors[2 * number : 2 * number + 2]
            if key in self._found:
                protocol.close(pair)
            else:
                client, backend = (_socket(descriptor) for descriptor in pair)
                self._found[key] = (meta, client, backend)
        protocol.close(descriptors[2 * min(pairs, len(entries)) :])
        if pairs < len(entries):
            log.error("out of files: not taken over", extra=fields(connections=len(entries) - pairs))

    def _grow(self, piece: Piece) -> None:
        if piece.first:
            self._blobs[piece.key] = []
        self._blobs[piece.key].append(piece.data)
        if piece.last:
            self._whole.add(piece.key)


def _socket(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
