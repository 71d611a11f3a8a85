"""The JSON encoding: text frames, one command or record per line."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Raw

from flux_gateway.core.frames import TEXT, Buffer
from flux_gateway.messaging import results
from flux_gateway.messaging.codec import Malformed, NotJson
from flux_gateway.messaging.codes import ClientError
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.json_commands import NAMES, WireCommand, request_of
from flux_gateway.messaging.publication import ClientInfo
from flux_gateway.messaging.results import PUSH_NAMES, RESULT_NAMES, Push, Result

_EMPTY = Command()
_command = msgspec.json.Decoder(WireCommand).decode
_requests = attrgetter(*NAMES)
_keys = msgspec.json.Decoder(dict[str, Raw]).decode
_skip = msgspec.json.Decoder(Raw).decode
_scalar = msgspec.json.Encoder().encode
_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")

_ALWAYS: dict[type[msgspec.Struct], frozenset[str]] = {
    ClientInfo: frozenset({"user", "client"}),
    results.ConnectResult: frozenset({"client", "version"}),
    results.RefreshResult: frozenset({"client", "version"}),
    results.PresenceResult: frozenset({"presence"}),
    results.PresenceStatsResult: frozenset({"num_clients", "num_users"}),
    results.HistoryResult: frozenset({"publications", "epoch", "offset"}),
    results.Unsubscribe: frozenset({"code", "reason"}),
    results.DisconnectPush: frozenset({"code", "reason"}),
}
"""Fields that are written at their zero value too: SDKs read them without a default. All others are left out."""


def _members(kind: type[msgspec.Struct]) -> tuple[tuple[str, bytes, bool], ...]:
    """Return of each field: its name, the text before its value, and whether it is always written."""
    always = _ALWAYS.get(kind, frozenset())
    return tuple((name, f'"{name}":'.encode(), name in always) for name in kind.__struct_fields__)


_MEMBERS: dict[type[msgspec.Struct], tuple[tuple[str, bytes, bool], ...]] = {
    kind: _members(kind) for kind in (*RESULT_NAMES, *PUSH_NAMES, ClientInfo)
}
_RESULTS: dict[type[Result], bytes] = {kind: f',"{name}":'.encode() for kind, name in RESULT_NAMES.items()}
_PUSHES: dict[type[Push], bytes] = {kind: f'"{name}":'.encode() for kind, name in PUSH_NAMES.items()}


class JsonCodec:
    """The codec of clients that speak JSON. Payloads are embedded as they are; line ends in them become spaces."""

    name = "json"
    opcode = TEXT
    ping = b"{}"

    def decode(self, payload: Buffer) -> list[Command]:
        """Return the commands of a frame. Raises `Malformed`. One line end after the last command is tolerated."""
        text = bytes(payload)
        try:
            if not text.isascii():
                # What is skipped as a payload is not looked at otherwise.
                text.decode()
            return [_decoded(line) for line in text.removesuffix(b"\n").split(b"\n")]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"not a command in JSON: {error}") from error
        except RecursionError as error:
            raise Malformed("JSON nested too deeply") from error

    def reply(self, id: int, result: Result) -> bytes:  # noqa: A002 (its name in the protocol)
        """Return the record of a successful reply. Raises `NotJson`."""
        return b'{"id":%d%b%b}' % (id, _RESULTS[type(result)], _object(result))

    def error(self, id: int, error: ClientError) -> bytes:  # noqa: A002
        """Return the record of a reply that says why a command failed."""
        temporary = b',"temporary":true' if error.temporary else b""
        return b'{"id":%d,"error":{"code":%d,"message":%b%b}}' % (id, error.code, _scalar(error.message), temporary)

    def push(self, channel: str, push: Push) -> bytes:
        """Return the record of a push. Raises `NotJson`."""
        to = b'"channel":%b,' % _scalar(channel) if channel else b""
        return b'{"push":{%b%b%b}}' % (to, _PUSHES[type(push)], _object(push))

    def join(self, records: Sequence[bytes]) -> bytes:
        """Return the payload of one frame."""
        return b"\n".join(records)


JSON = JsonCodec()


def _decoded(line: bytes) -> Command:
    if line == b"{}":
        return _EMPTY
    wire = _command(line)
    found = [
        (name, request) for name, request in zip(NAMES, _requests(wire), strict=True) if request is not None
    ]
    if len(found) == 1:
        ((name, request),) = found
        return Command(wire.id, name, request_of(request))
    if found:
        raise Malformed(f"more than one command in one object: {', '.join(name for name, _ in found)}")
    if wire.id or not _keys(line).keys() <= {"id", *NAMES}:
        raise Malformed("an object without a command of the protocol")
    return _EMPTY


def _object(value: msgspec.Struct) -> bytes:
    members = []
    for name, key, always in _MEMBERS[type(value)]:
        field = getattr(value, name)
        if field or always:
            members.append(key + _WRITERS.get(type(field), _scalar)(field))
    return b"{%b}" % b",".join(members)


def _array(values: list[msgspec.Struct]) -> bytes:
    return b"[%b]" % b",".join(map(_object, values))


def _map(values: dict[str, object]) -> bytes:
    return b"{%b}" % b",".join(
        [b"%b:%b" % (_scalar(key), _WRITERS.get(type(one), _scalar)(one)) for key, one in values.items()]
    )


def _embedded(data: bytes) -> bytes:
    """Return a payload as part of a line. Raises `NotJson`.

    It is read to its end, but nothing is built from it: 0.2 µs for 100 bytes. JSON has line ends between tokens only.
    """
    try:
        _skip(data)
        if not data.isascii():
            data.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotJson(f"a payload of {len(data)} bytes is not JSON") from error
    return data.translate(_ONE_LINE) if b"\n" in data or b"\r" in data else data


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    bytes: _embedded,
    list: _array,
    dict: _map,
    **dict.fromkeys(_MEMBERS, _object),
}
"""By the exact class of a value; all others are numbers, texts and booleans."""
