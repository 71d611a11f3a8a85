"""Records as they are written for each transport."""

import pytest

from flux_gateway.gateway.messaging.encodings import (
    BY_NAME,
    HTTP_STREAM_JSON,
    HTTP_STREAM_PROTOBUF,
    SSE,
    WEBSOCKET_JSON,
    WEBSOCKET_PROTOBUF,
    Encoding,
)

RECORDS = [b'{"id":1}', b"{}"]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        (WEBSOCKET_JSON, b'\x81\x0b{"id":1}\n{}'),
        (WEBSOCKET_PROTOBUF, b'\x82\x0a{"id":1}{}'),
        (HTTP_STREAM_JSON, b'{"id":1}\n{}\n'),
        (HTTP_STREAM_PROTOBUF, b'{"id":1}{}'),
        (SSE, b'data: {"id":1}\n\ndata: {}\n\n'),
    ],
)
def test_records_in_their_order(encoding: Encoding, expected: bytes) -> None:
    assert encoding.wrap(RECORDS) == expected


def test_a_frame_holds_at_most_sixteen_records() -> None:
    assert WEBSOCKET_PROTOBUF.wrap([b"x"] * 33) == (b"\x82\x10" + b"x" * 16) * 2 + b"\x82\x01x"
    assert HTTP_STREAM_JSON.wrap([b"x"] * 33) == b"x\n" * 33


def test_what_webhooks_are_told() -> None:
    found = [one.transport for one in (WEBSOCKET_JSON, WEBSOCKET_PROTOBUF, HTTP_STREAM_JSON, HTTP_STREAM_PROTOBUF, SSE)]
    assert found == ["websocket", "websocket", "http_stream", "http_stream", "sse"]


def test_only_websockets_move() -> None:
    assert set(BY_NAME.values()) == {WEBSOCKET_JSON, WEBSOCKET_PROTOBUF}
