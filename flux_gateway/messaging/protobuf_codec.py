"""The Protobuf encoding: binary frames, each command or record after its length as a varint."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from flux_gateway.core.frames import BINARY, Buffer
from flux_gateway.messaging import commands, results
from flux_gateway.messaging.codec import Malformed
from flux_gateway.messaging.codes import ClientError
from flux_gateway.messaging.commands import Command
from flux_gateway.messaging.protobuf import client_pb2
from flux_gateway.messaging.publication import ClientInfo, Publication
from flux_gateway.messaging.results import PUSH_NAMES, RESULT_NAMES, Push, Result

_Kind = TypeVar("_Kind", bound=msgspec.Struct)

_EMPTY = Command()
_LONGEST_VARINT = 10

_REQUESTS: Mapping[str, type[commands.Request]] = {
    "connect": commands.ConnectRequest,
    "subscribe": commands.SubscribeRequest,
    "unsubscribe": commands.UnsubscribeRequest,
    "publish": commands.PublishRequest,
    "presence": commands.PresenceRequest,
    "presence_stats": commands.PresenceStatsRequest,
    "history": commands.HistoryRequest,
    "ping": commands.PingRequest,
    "send": commands.SendRequest,
    "rpc": commands.RpcRequest,
    "refresh": commands.RefreshRequest,
    "sub_refresh": commands.SubRefreshRequest,
}

_MESSAGES: Mapping[type[msgspec.Struct], type[Message]] = {
    Publication: client_pb2.Publication,
    ClientInfo: client_pb2.ClientInfo,
    results.ConnectResult: client_pb2.ConnectResult,
    results.SubscribeResult: client_pb2.SubscribeResult,
    results.UnsubscribeResult: client_pb2.UnsubscribeResult,
    results.PublishResult: client_pb2.PublishResult,
    results.PresenceResult: client_pb2.PresenceResult,
    results.PresenceStatsResult: client_pb2.PresenceStatsResult,
    results.HistoryResult: client_pb2.HistoryResult,
    results.RpcResult: client_pb2.RPCResult,
    results.RefreshResult: client_pb2.RefreshResult,
    results.SubRefreshResult: client_pb2.SubRefreshResult,
    results.Join: client_pb2.Join,
    results.Leave: client_pb2.Leave,
    results.Unsubscribe: client_pb2.Unsubscribe,
    results.Subscribe: client_pb2.Subscribe,
    results.Message: client_pb2.Message,
    results.DisconnectPush: client_pb2.Disconnect,
    results.RefreshPush: client_pb2.Refresh,
}
"""What stands for what. The names of fields are the same on both sides."""


class ProtobufCodec:
    """The codec of clients that speak Protobuf. Payloads are bytes of any kind."""

    name = "protobuf"
    opcode = BINARY
    ping = b"\x00"

    def decode(self, payload: Buffer) -> list[Command]:
        """Return the commands of a frame. Raises `Malformed`."""
        frame = bytes(payload)
        if not frame:
            raise Malformed("an empty frame")
        return [_command(message) if message else _EMPTY for message in _messages(frame)]

    def reply(self, id: int, result: Result) -> bytes:  # noqa: A002 (its name in the protocol)
        """Return the record of a successful reply."""
        fields: dict[str, Any] = {RESULT_NAMES[type(result)]: _message(result)}
        return _record(client_pb2.Reply(id=id, **fields))

    def error(self, id: int, error: ClientError) -> bytes:  # noqa: A002
        """Return the record of a reply that says why a command failed."""
        fault = client_pb2.Error(code=error.code, message=error.message, temporary=error.temporary)
        return _record(client_pb2.Reply(id=id, error=fault))

    def push(self, channel: str, push: Push) -> bytes:
        """Return the record of a push."""
        fields: dict[str, Any] = {PUSH_NAMES[type(push)]: _message(push)}
        return _record(client_pb2.Reply(push=client_pb2.Push(channel=channel, **fields)))

    def join(self, records: Sequence[bytes]) -> bytes:
        """Return the payload of one frame."""
        return b"".join(records)


PROTOBUF = ProtobufCodec()


def _messages(frame: bytes) -> Iterator[bytes]:
    """Yield what the lengths of a frame cut out of it."""
    at, size = 0, len(frame)
    while at < size:
        length, at = _varint(frame, at)
        if length > size - at:
            raise Malformed(f"a command of {length} bytes with {size - at} bytes left in its frame")
        yield frame[at : at + length]
        at += length


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    """Return the number at `at` and where it ends."""
    number = 0
    for shift, byte in enumerate(frame[at : at + _LONGEST_VARINT]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return number, at + shift + 1
    raise Malformed("a command's length does not end")


def _command(message: bytes) -> Command:
    parsed = client_pb2.Command()
    try:
        parsed.ParseFromString(message)
    except DecodeError as error:
        raise Malformed(f"not a command in Protobuf: {error}") from error
    found = [(field.name, value) for field, value in parsed.ListFields() if field.name != "id"]
    if len(found) == 1:
        ((name, value),) = found
        return Command(parsed.id, name, _request(_REQUESTS[name], value))
    if found:
        raise Malformed(f"more than one command in one message: {', '.join(name for name, _ in found)}")
    if parsed.id or len(UnknownFieldSet(parsed)):
        raise Malformed("a message without a command of the protocol")
    return _EMPTY


def _request(kind: type[_Kind], message: Message) -> _Kind:
    """Return a request, or what is in one, from the fields that are set: those left out have their zero value."""
    fields: dict[str, Any] = {}
    for field, value in message.ListFields():
        convert = _CONVERSIONS.get(field.name)
        fields[field.name] = value if convert is None else convert(value)
    return kind(**fields)


_CONVERSIONS: Mapping[str, Callable[[Any], object]] = {
    "headers": dict,
    "since": lambda since: _request(commands.StreamPosition, since),
    "subs": lambda subs: {channel: _request(commands.SubscribeRequest, sub) for channel, sub in subs.items()},
    "tf": lambda _: True,
}
"""Fields of requests that are neither numbers, texts nor bytes."""


def _message(value: msgspec.Struct) -> Message:
    """Return the message that stands for a result, a push, or what is in one. Zero values are not written."""
    fields: dict[str, Any] = {}
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if not field:
            continue
        match field:
            case msgspec.Struct():
                fields[name] = _message(field)
            case list():
                fields[name] = [_message(one) for one in field]
            case dict():
                fields[name] = {key: one if isinstance(one, str) else _message(one) for key, one in field.items()}
            case _:
                fields[name] = field
    return _MESSAGES[type(value)](**fields)


def _record(reply: Message) -> bytes:
    message = reply.SerializeToString()
    length = len(message)
    if length < 0x80:
        return length.to_bytes() + message
    prefix = bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + message
