"""A WebSocket client that can do what no decent client does: raw bytes, frames of its own making, silence."""

import base64
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Self

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class Answer(NamedTuple):
    """The answer to a handshake; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


class Arrived(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False


def frame(opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """Return a client's frame. The masking key is zero, so that the payload stays readable on the wire."""
    data = payload.encode() if isinstance(payload, str) else payload
    first, mask = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mask | len(data))
    elif len(data) < 65536:
        head = struct.pack("!BBH", first, mask | 126, len(data))
    else:
        head = struct.pack("!BBQ", first, mask | 127, len(data))
    return head + (bytes(4) if masked else b"") + data


def request(path: str = "/echo", headers: Mapping[str, str] | None = None) -> bytes:
    """Return the head of a proper WebSocket handshake; a header with an empty value is left out."""
    values = {
        "Host": "test", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), **(headers or {}),
    }  # fmt: skip
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in values.items() if value), "", ""]
    return "\r\n".join(lines).encode()


_opened: "list[Wire]" = []


def close_all(but: "Wire | None" = None) -> None:
    """Close every connection made since the last call: what a test leaves open does not reach the next one."""
    for wire in _opened:
        if wire is not but:
            wire.socket.close()
    _opened[:] = [but] if but else []


class Wire:
    """One TCP connection to a gateway or a proxy. Fixture `no_connection_stays` closes it at the test's end."""

    def __init__(self, address: tuple[str, int], *, source: str = "", receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        try:
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.socket.bind((source, 0))
            self.socket.settimeout(15)
            self.socket.connect(address)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            self.socket.close()
            raise
        self._buffer = b""
        _opened.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.socket.sendall(data)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._buffer += data
        return bool(data)

    def take(self, size: int) -> bytes:
        """Read exactly so many raw bytes."""
        while len(self._buffer) < size:
            if not self._more():
                raise EOFError(f"the stream ended with {len(self._buffer)} of {size} bytes")
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def leftover(self) -> bytes:
        """Return, once, what has been received and not been read: then the socket can be read directly."""
        data, self._buffer = self._buffer, b""
        return data

    def answer(self) -> Answer:
        """Read the answer to a handshake; the body too, unless it is 101."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                raise EOFError(f"no HTTP answer: {self._buffer!r}")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        return Answer(int(first.split()[1]), headers, self.take(int(headers.get("content-length", "0"))).decode())

    def open(self, path: str = "/echo", headers: Mapping[str, str] | None = None) -> Answer:
        """Do the handshake; it must succeed."""
        self.send(request(path, headers))
        answer = self.answer()
        assert answer.status == 101, answer
        return answer

    def read(self) -> Arrived:
        """Read one frame. Raises EOFError when the stream ends first."""
        first, second = self.take(2)
        assert not second & 0x80, "a server must not mask"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        return Arrived(first & 0x0F, self.take(size), bool(first & 0x80), bool(first & 0x40))

    def frames(self) -> Iterator[Arrived]:
        """Read frames to the end of the stream."""
        while True:
            try:
                yield self.read()
            except EOFError:
                return

    def echo(self, payload: bytes = b"x") -> float:
        """Send a message, wait for its echo, answer pings meanwhile; return the seconds it took."""
        started = time.monotonic()
        self.send(frame(BINARY, payload))
        while True:
            arrived = self.read()
            if arrived.opcode == PING:
                self.send(frame(PONG, arrived.payload))
                continue
            assert arrived == Arrived(BINARY, payload), arrived
            return time.monotonic() - started

    def closed(self) -> tuple[int, str]:
        """Read up to the close frame, answer it, and see the stream end: (code, reason), code 1006 without one."""
        for arrived in self.frames():
            if arrived.opcode == CLOSE:
                if arrived.payload:
                    self.finish(arrived.payload)
                    return int.from_bytes(arrived.payload[:2], "big"), arrived.payload[2:].decode()
                self.finish(b"")
                return 1005, ""
        return 1006, ""

    def finish(self, payload: bytes) -> None:
        """Answer a close frame, and see the server end the stream first."""
        try:
            self.send(frame(CLOSE, payload))
        except OSError:
            return
        assert list(self.frames()) == []


def connect(address: tuple[str, int], path: str = "/echo", *, source: str = "") -> Wire:
    """Return an open WebSocket."""
    wire = Wire(address, source=source)
    try:
        wire.open(path)
    except BaseException:
        wire.socket.close()
        raise
    return wire
