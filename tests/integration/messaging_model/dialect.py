"""The client protocol from the client's side, in both encodings, written without the node's codecs."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from flux_gateway.messaging.protobuf import client_pb2
from tests.integration.gateway.wire import BINARY, TEXT


class Said(NamedTuple):
    """One reply or push. `kind` is the name of the command or push, "ping" for an empty one, "error" for an error."""

    id: int
    kind: str
    channel: str
    body: dict[str, Any]


PROTOCOLS = {"json": "", "protobuf": "centrifuge-protobuf"}
"""What a client offers as sub-protocol, by its encoding."""


class Json:
    """Text frames, objects with line ends between them."""

    opcode = TEXT

    def command(self, number: int, name: str, fields: dict[str, Any]) -> bytes:
        """Return a command as a payload."""
        return json.dumps({"id": number, name: fields}).encode()

    def pong(self) -> bytes:
        """Return the answer to a ping."""
        return b"{}"

    def read(self, payload: bytes) -> Iterator[Said]:
        """Read what a frame holds."""
        for line in payload.split(b"\n"):
            said = json.loads(line)
            if not said:
                yield Said(0, "ping", "", {})
            elif push := said.get("push"):
                channel = push.pop("channel", "")
                ((kind, body),) = push.items()
                yield Said(0, kind, channel, body)
            else:
                number = said.pop("id")
                ((kind, body),) = said.items()
                yield Said(number, kind, "", body)


class Protobuf:
    """Binary frames, messages with their length before them."""

    opcode = BINARY

    def command(self, number: int, name: str, fields: dict[str, Any]) -> bytes:
        """Return a command as a payload."""
        values = {key: json.dumps(value).encode() if key == "data" else value for key, value in fields.items()}
        command = client_pb2.Command(id=number)
        request = getattr(command, name)
        request.SetInParent()
        for key, value in values.items():
            setattr(request, key, value)
        data = command.SerializeToString()
        return varint(len(data)) + data

    def pong(self) -> bytes:
        """Return the answer to a ping."""
        return b"\0"

    def read(self, payload: bytes) -> Iterator[Said]:
        """Read what a frame holds."""
        at = 0
        while at < len(payload):
            size = shift = 0
            while True:
                byte = payload[at]
                at, size, shift = at + 1, size | (byte & 0x7F) << shift, shift + 7
                if byte < 0x80:
                    break
            yield self._said(client_pb2.Reply.FromString(payload[at : at + size]))
            at += size

    def _said(self, reply: client_pb2.Reply) -> Said:
        found = [(field.name, value) for field, value in reply.ListFields() if field.name != "id"]
        if not found:
            return Said(0, "ping", "", {})
        ((kind, body),) = found
        if kind != "push":
            return Said(reply.id, kind, "", _fields(body))
        ((kind, inner),) = [(field.name, value) for field, value in body.ListFields() if field.name != "channel"]
        return Said(0, kind, body.channel, _fields(inner))


def _fields(message: Any) -> dict[str, Any]:
    """Return a message's fields as the JSON encoding has them."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "data":
            found["data"] = json.loads(value)
        elif field.name == "presence":
            found["presence"] = {client: _fields(info) for client, info in value.items()}
        elif field.name == "publications":
            found["publications"] = [_fields(one) for one in value]
        elif field.name in ("info",):
            found["info"] = _fields(value)
        else:
            found[field.name] = value
    return found


def varint(number: int) -> bytes:
    """Return a number as Protobuf writes lengths."""
    data = b""
    while number > 0x7F:
        data += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return data + bytes((number,))


DIALECTS: dict[str, Json | Protobuf] = {"json": Json(), "protobuf": Protobuf()}
