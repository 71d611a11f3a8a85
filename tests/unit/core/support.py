"""Shared by the tests of the pure core: settings for hypothesis, wire frames made by hand, random cuts, nodes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from struct import pack

from hypothesis import settings
from hypothesis import strategies as st

FEW = settings(max_examples=5, deadline=None)
SOME = settings(max_examples=60, deadline=None)

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


@dataclass(frozen=True)
class WireFrame:
    """One frame as either side may send it."""

    opcode: int
    payload: bytes
    fin: bool = True
    mask: bytes = b""
    """Four bytes for a client's frame, empty for a server's."""
    long_form: int = 0
    """Bytes of the extended length to use, 2 or 8, also where less would do; 0 for the shortest."""

    def encode(self) -> bytes:
        """Return the bytes, written from RFC 6455, section 5.2, independently of `core.frames`."""
        size, masked = len(self.payload), 0x80 if self.mask else 0
        extended = self.long_form or (0 if size < 126 else 2 if size < 0x10000 else 8)
        head = bytes([(0x80 if self.fin else 0) | self.opcode])
        if extended == 0:
            head += bytes([masked | size])
        elif extended == 2:
            head += bytes([masked | 126]) + pack("!H", size)
        else:
            head += bytes([masked | 127]) + pack("!Q", size)
        return head + self.mask + masked_with(self.mask, self.payload)


@dataclass
class Fake:
    """A node as routing sees it (`core.balance.Candidate`)."""

    load: int = 0
    usable: bool = True
    weight: float = 1.0
    ramp: float = 1.0


def masked_with(mask: bytes, payload: bytes) -> bytes:
    """Apply a mask, or none when it is empty."""
    if not mask:
        return payload
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut data at the given places, taken modulo its length."""
    marks = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in pairwise(marks):
        yield data[start:end]


def one_by_one(data: bytes) -> Iterator[bytes]:
    """Cut data into single bytes."""
    return (data[at : at + 1] for at in range(len(data)))


CUTS = st.lists(st.integers(0, 2**31), max_size=20)
