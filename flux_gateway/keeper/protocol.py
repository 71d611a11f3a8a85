"""What a proxy and its keeper say to each other: packets of a unix socket, with descriptors beside them.

Every request is answered by one packet, and the next is sent only then. So the answer says that it is done, a socket's
buffer never fills, and hardly any descriptors are on their way: the kernel bounds those of a user by RLIMIT_NOFILE
(unix(7), ETOOMANYREFS).
"""

import os
import socket
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

BATCH = 126
"""Connections in one packet: two descriptors each, and the kernel takes at most 253 (SCM_MAX_FD)."""

PACKET = 32_768
"""Bytes of content from which on a packet is full; also the largest meta, and the largest piece of a blob."""

_LARGEST = 2 * PACKET + 64 * BATCH
_SPACE = socket.CMSG_SPACE(2 * BATCH * array("i").itemsize)


class Piece(NamedTuple):
    """Part of a blob: the relay state of one connection that a proxy hands to its next process."""

    key: str
    first: bool
    last: bool
    data: bytes


class Deposit(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Keep these (key, meta), with the client's and the backend's descriptor of each beside the packet.

    It replaces what was kept under the same key, a blob too.
    """

    entries: list[tuple[str, bytes]]


class Withdraw(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Close what is kept under these keys. An unknown key is no fault."""

    keys: list[str]


class HandOver(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Keep blobs beside connections that are deposited already. A blob counts when its last piece is there."""

    pieces: list[Piece]


class Take(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Give the next packet of all that is kept: `Entries`, then `Blobs`, then `End`; after that it begins anew.

    What is given stays here, but for the blobs.
    """


class Forget(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Close everything."""


class Count(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Say how many connections are kept. The only question that does not make its asker the keeper's proxy."""


class Done(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The request has been carried out."""


class Entries(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Connections, as in `Deposit`."""

    entries: list[tuple[str, bytes]]


class Blobs(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Blobs of connections given before."""

    pieces: list[Piece]


class End(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """That was all."""


class Counted(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """How many connections are kept."""

    count: int


class Replaced(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Another process has become the keeper's proxy. Sent without a question, and then the connection ends."""


Request = Deposit | Withdraw | HandOver | Take | Forget | Count
Answer = Done | Entries | Blobs | End | Counted | Replaced

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
"""Raise `msgspec.DecodeError` for what is no request or no answer."""


def cut(blobs: Iterable[tuple[str, bytes]]) -> Iterator[list[Piece]]:
    """Cut (key, blob) into pieces, and yield as many as go into one packet."""
    packet: list[Piece] = []
    size = 0
    for key, blob in blobs:
        for start in range(0, len(blob) or 1, PACKET):
            data = blob[start : start + PACKET]
            packet.append(Piece(key, start == 0, start + PACKET >= len(blob), data))
            size += len(data)
            if full(len(packet), size):
                yield packet
                packet, size = [], 0
    if packet:
        yield packet


def full(entries: int, size: int) -> bool:
    """Whether a packet with so many entries and bytes of content takes no more."""
    return entries >= BATCH or size >= PACKET


def send(sock: socket.socket, message: Request | Answer, descriptors: Sequence[int] = ()) -> None:
    """Send one packet. The kernel duplicates the descriptors; the caller's stay open.

    Raises OSError, also when the packet would have to wait: a peer that has answered leaves room for it.
    """
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
    sock.sendmsg([encode(message)], beside)


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Return one packet and the descriptors that came with it, which are the caller's; b"" when the peer has gone.

    Out of files the kernel drops descriptors from the end of the list, unsaid. Raises OSError.
    """
    data, beside, flags, _ = sock.recvmsg(_LARGEST, _SPACE, socket.MSG_CMSG_CLOEXEC)
    descriptors = array("i")
    for level, kind, content in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    if flags & socket.MSG_TRUNC:
        close(descriptors)
        raise ConnectionError("a packet was larger than the protocol allows")
    return data, descriptors.tolist()


def close(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)
