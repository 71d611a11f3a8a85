"""A client without WebSocket: it hears the body of an answer that does not end, and posts its commands."""

import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from flux_gateway.messaging.protobuf import client_pb2
from tests.integration.gateway.wire import Answer, Wire

Address = tuple[str, int]

HTTP_STREAM, SSE, EMULATION = "/connection/http_stream", "/connection/sse", "/emulation"
CONNECT = {"id": 1, "connect": {"name": "test"}}


def head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """Return a request's head."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def request(
    address: Address, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Wire:
    """Send a request."""
    values = {"Host": "test", **({"Content-Length": str(len(body))} if method == "POST" else {}), **(headers or {})}
    wire = Wire(address)
    wire.send(head(method, target, values) + body)
    return wire


def asked(
    address: Address, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """Send a request, and return the answer; the connection must end with it."""
    with request(address, method, target, body, headers) as wire:
        answer = wire.answer()
        assert wire.leftover() + wire.socket.recv(1) == b""
        return answer


def emulated(session: str = "", node: str = "gateway-1", data: str = "{}") -> bytes:
    """Return the body of a request with commands."""
    return json.dumps({"session": session, "node": node, "data": data}).encode()


class Stream:
    """A client that has connected, its commands in JSON. `path` says how it hears."""

    def __init__(
        self, address: Address, path: str = HTTP_STREAM, connect: Any = CONNECT,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._address, self._sse = address, path == SSE
        text = json.dumps(connect)
        if self._sse:
            self.wire = request(address, "GET", f"{path}?cf_connect={quote(text)}", headers=headers)
        else:
            self.wire = request(address, "POST", path, text.encode(), headers)
        self.answer = self.wire.answer()
        assert self.answer.status == 200, self.answer
        self._ids = itertools.count(2)
        if self._sse:
            assert self.wire.take(1) == b"\n"
        self.greeting: dict[str, Any] = {}

    def greeted(self) -> "Stream":
        """Read the reply to `connect`, which must be a success."""
        self.greeting = self.read()["connect"]
        return self

    def line(self) -> bytes:
        """Return one record as it came."""
        line = b""
        while not line.endswith(b"\n"):
            line += self.wire.take(1)
        if self._sse:
            assert line.startswith(b"data: "), line
            assert self.wire.take(1) == b"\n"
            line = line.removeprefix(b"data: ")
        return line[:-1]

    def read(self, *, pings: bool = False) -> Any:
        """Return the next record, by default the next that is no ping."""
        while (line := self.line()) == b"{}" and not pings:
            continue
        return json.loads(line)

    def say(self, *commands: Any, by: Address | None = None, **changed: str) -> int:
        """Post commands, to the node itself or `by` another; return the status of the answer."""
        text = "\n".join(json.dumps(command) for command in commands)
        body = {"session": self.greeting["session"], "node": self.greeting["node"], "data": text} | changed
        return asked(by or self._address, "POST", EMULATION, json.dumps(body).encode()).status

    def call(self, name: str, *, by: Address | None = None, **request: Any) -> Any:
        """Carry out one command, and return its reply; pushes that come before it are dropped."""
        number = next(self._ids)
        assert self.say({"id": number, name: request}, by=by) == 204
        while "push" in (reply := self.read()):
            continue
        assert reply.pop("id") == number
        return reply

    def hear(self, kind: str) -> Any:
        """Return the next push, which must be of this kind."""
        return self.read()["push"][kind]

    def last(self) -> Any:
        """Return the push `disconnect` which must come next, followed by the end of the stream."""
        push = self.read()["push"]["disconnect"]
        assert self.wire.leftover() + self.wire.socket.recv(1) == b""
        return push


class ProtobufStream:
    """A client that has connected and speaks Protobuf."""

    def __init__(self, address: Address) -> None:
        self._address = address
        connect = client_pb2.Command(id=1, connect=client_pb2.ConnectRequest(name="test"))
        binary = {"Content-Type": "application/octet-stream"}
        self.wire = request(address, "POST", HTTP_STREAM, _delimited(connect), binary)
        self.answer = self.wire.answer()
        assert self.answer.status == 200, self.answer
        self.greeting = self.read().connect

    def read(self) -> client_pb2.Reply:
        """Return the next record that is no ping."""
        while True:
            size = shift = 0
            while True:
                byte = self.wire.take(1)[0]
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            if size:
                return client_pb2.Reply.FromString(self.wire.take(size))

    def call(self, command: client_pb2.Command) -> client_pb2.Reply:
        """Carry out one command, and return its reply."""
        body = client_pb2.EmulationRequest(
            session=self.greeting.session, node=self.greeting.node, data=_delimited(command)
        ).SerializeToString()
        answer = asked(self._address, "POST", EMULATION, body, {"Content-Type": "application/octet-stream"})
        assert answer.status == 204, answer
        reply = self.read()
        assert reply.id == command.id
        return reply


def _delimited(command: client_pb2.Command) -> bytes:
    data = command.SerializeToString()
    assert len(data) < 0x80
    return bytes([len(data)]) + data
