"""`/emulation`: commands of clients that hear an HTTP stream, by requests of their own (facts, section 15).

The request names the node that holds the stream, and a secret of the stream. Where it comes to another node, that one
passes it on through Redis.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from flux_gateway.broker.broker import Broker
from flux_gateway.core.errors import BrokerUnavailable, HttpError
from flux_gateway.gateway.messaging.plain.exchange import HttpExchange
from flux_gateway.gateway.messaging.plain.stream import StreamConnection
from flux_gateway.messaging.protobuf import client_pb2

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""What a node's id looks like (`gateway.settings`)."""

_ENVELOPE = 1024
"""Bytes of a request beside the commands."""

Start = Callable[[Coroutine[Any, Any, None], str], object]


class Emulated(msgspec.Struct):
    """A request in JSON. `data` is the text of the commands, one a line."""

    session: str = ""
    node: str = ""
    data: str = ""


KIND = "emulation"


class EmulationOrder(msgspec.Struct, frozen=True, tag=KIND, tag_field="type"):
    """Commands that came to another node than their client's: a control message beside those of `orders`."""

    session: str
    data: bytes


class Emulation:
    """Knows the streams of this node by their secrets."""

    def __init__(self, node_id: str, max_message: int, broker: Broker, start: Start) -> None:
        self._node_id, self._max_message = node_id, max_message
        self._broker, self._start = broker, start
        self.body_limit = 2 * max_message + _ENVELOPE
        """Commands as a text within JSON have every quotation mark escaped."""
        self._streams: dict[str, StreamConnection] = {}

    def add(self, secret: str, stream: StreamConnection) -> None:
        """A stream has begun."""
        self._streams[secret] = stream

    def discard(self, secret: str) -> None:
        """A stream is over."""
        self._streams.pop(secret, None)

    def serve(self, exchange: HttpExchange, body: bytes) -> None:
        """Carry out a request. Raises `HttpError`."""
        session, node, data = _read(exchange, body)
        if len(data) > self._max_message:
            raise HttpError(413, f"commands larger than {self._max_message} bytes")
        if node == self._node_id:
            stream = self.deliver(session, data)
            # A stream that is gone is none of this request's concern: the client notices its end.
            if stream is None:
                exchange.answer(204)
            else:
                stream.when_free(lambda: exchange.answer(204))
        elif _NODE.fullmatch(node):
            self._start(self._pass_on(exchange, session, node, data), "emulation")
        else:
            raise HttpError(404, "unknown node")

    def deliver(self, session: str, data: bytes) -> StreamConnection | None:
        """Have a stream's client carry out commands; return its connection, or None if there is none."""
        stream = self._streams.get(session)
        if stream is not None:
            stream.stream.take(data)
        return stream

    def heard(self, data: bytes) -> None:
        """Take what another node has passed on."""
        order = msgspec.msgpack.decode(data, type=EmulationOrder)
        self.deliver(order.session, order.data)

    async def _pass_on(self, exchange: HttpExchange, session: str, node: str, data: bytes) -> None:
        try:
            heard = await self._broker.tell(msgspec.msgpack.encode(EmulationOrder(session, data)), node)
        except BrokerUnavailable:
            exchange.refuse(HttpError(503, "Redis does not answer"))
            return
        if heard:
            exchange.answer(204)
        else:
            exchange.refuse(HttpError(404, "unknown node"))


def _read(exchange: HttpExchange, body: bytes) -> tuple[str, str, bytes]:
    if exchange.binary:
        message = client_pb2.EmulationRequest()
        try:
            message.ParseFromString(body)
        except DecodeError as error:
            raise HttpError(400, "not an EmulationRequest in Protobuf") from error
        return message.session, message.node, message.data
    try:
        request = msgspec.json.decode(body, type=Emulated)
        return request.session, request.node, request.data.encode()
    except (msgspec.DecodeError, UnicodeError) as error:
        raise HttpError(400, "not a request in JSON with session, node and data") from error
