"""What a keeper keeps: per connection two descriptors and what the proxy wrote beside them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flux_gateway.keeper.protocol import Answer, Blobs, Entries, Piece, close, cut, full


class _Kept(NamedTuple):
    meta: bytes
    client: int
    backend: int


class Store:
    """Owns the descriptors given to it. It takes no more than `limit` connections."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[str, _Kept] = {}
        self._blobs: dict[str, bytearray] = {}
        self._whole: set[str] = set()
        """Keys of the blobs whose last piece has come."""

    def __len__(self) -> int:
        """How many connections are kept."""
        return len(self._kept)

    def deposit(self, entries: list[tuple[str, bytes]], descriptors: Sequence[int]) -> int:
        """Keep connections, in place of older ones with the same key. Returns how many it could not keep."""
        for key, _ in entries:
            self._drop(key)  # if there is no room for the new one: the old one is not what its proxy uses any more
        kept = min(len(entries), len(descriptors) // 2, self._limit - len(self._kept))
        for number, (key, meta) in enumerate(entries[:kept]):
            self._kept[key] = _Kept(meta, descriptors[2 * number], descriptors[2 * number + 1])
        close(descriptors[2 * kept :])
        return len(entries) - kept

    def withdraw(self, keys: list[str]) -> None:
        """Close connections."""
        for key in keys:
            self._drop(key)

    def hand_over(self, pieces: list[Piece]) -> None:
        """Keep blobs."""
        for piece in pieces:
            if piece.key not in self._kept:
                continue
            if piece.first:
                self._blobs[piece.key] = bytearray()
                self._whole.discard(piece.key)
            if piece.key in self._blobs:
                self._blobs[piece.key] += piece.data
                if piece.last:
                    self._whole.add(piece.key)

    def hand_back(self) -> Iterator[tuple[Answer, list[int]]]:
        """Yield everything, packet by packet: answer and descriptors, which stay the store's."""
        entries: list[tuple[str, bytes]] = []
        descriptors: list[int] = []
        size = 0
        for key in list(self._kept):
            kept = self._kept.get(key)
            if kept is None:  # withdrawn between two packets
                continue
            entries.append((key, kept.meta))
            descriptors += (kept.client, kept.backend)
            size += len(kept.meta)
            if full(len(entries), size):
                yield Entries(entries), descriptors
                entries, descriptors, size = [], [], 0
        if entries:
            yield Entries(entries), descriptors
        blobs = [(key, bytes(self._blobs[key])) for key in self._whole]
        self._blobs.clear()
        self._whole.clear()
        for packet in cut(blobs):
            yield Blobs(packet), []

    def clear(self) -> None:
        """Close everything."""
        for key in list(self._kept):
            self._drop(key)

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            close((kept.client, kept.backend))
            self._blobs.pop(key, None)
            self._whole.discard(key)
