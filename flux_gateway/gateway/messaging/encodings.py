"""How records reach a client: its codec, and the frames of its transport.

Clients with one encoding get the same bytes.
"""

from collections.abc import Sequence

from flux_gateway.core.frames import encode_frame
from flux_gateway.messaging.codec import Codec
from flux_gateway.messaging.json_codec import JSON
from flux_gateway.messaging.protobuf_codec import PROTOBUF

_BATCH = 16
"""Records in one frame at most, as many as other servers of this protocol send."""


class Encoding:
    """A codec and the framing around its records. There is one object of each, so clients are grouped by identity."""

    __slots__ = ("codec", "name", "transport")

    def __init__(self, name: str, codec: Codec, transport: str = "websocket") -> None:
        self.name = name
        self.codec = codec
        self.transport = transport
        """As webhooks are told."""

    def wrap(self, records: Sequence[bytes]) -> bytes:
        """Return the bytes to write for these records, in their order."""
        codec = self.codec
        if len(records) <= _BATCH:
            return encode_frame(codec.opcode, codec.join(records))
        return b"".join(
            encode_frame(codec.opcode, codec.join(records[first : first + _BATCH]))
            for first in range(0, len(records), _BATCH)
        )


class StreamEncoding(Encoding):
    """Of the body of an HTTP answer: each record between two fixed texts. No record in JSON holds a line end."""

    __slots__ = ("_after", "_before")

    def __init__(self, name: str, codec: Codec, transport: str, before: bytes = b"", after: bytes = b"") -> None:
        super().__init__(name, codec, transport)
        self._before, self._after = before, after

    def wrap(self, records: Sequence[bytes]) -> bytes:
        """Return the bytes to write for these records, in their order."""
        return self._before + (self._after + self._before).join(records) + self._after


WEBSOCKET_JSON = Encoding("json", JSON)
WEBSOCKET_PROTOBUF = Encoding("protobuf", PROTOBUF)

HTTP_STREAM_JSON = StreamEncoding("http_stream json", JSON, "http_stream", after=b"\n")
HTTP_STREAM_PROTOBUF = StreamEncoding("http_stream protobuf", PROTOBUF, "http_stream")
SSE = StreamEncoding("sse", JSON, "sse", before=b"data: ", after=b"\n\n")

BY_NAME = {encoding.name: encoding for encoding in (WEBSOCKET_JSON, WEBSOCKET_PROTOBUF)}
"""What a frozen session names; those of HTTP streams are not among them, since these cannot move."""
