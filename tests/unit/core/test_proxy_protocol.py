"""`core.proxy_protocol`: PROXY v2 headers, written and read."""

from ipaddress import ip_address
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.errors import ProxyHeaderError
from flux_gateway.core.proxy_protocol import (
    MAX_LENGTH,
    SIGNATURE,
    UNIQUE_ID,
    ProxyHeader,
    decode,
    encode,
    looks_like_header,
)  # fmt: skip
from tests.unit.core.support import SOME

ADDRESSES = st.ip_addresses().map(str)
PORTS = st.integers(0, 65_535)
TLVS = st.dictionaries(st.integers(0, 255), st.binary(max_size=60), max_size=5)
ENDPOINTS = st.tuples(ADDRESSES, PORTS)

V4 = encode(("192.0.2.1", 1234), ("198.51.100.2", 8080), {UNIQUE_ID: b"s-1", 0xE0: b""})


def header(command: int = 0x21, family: int = 0x11, body: bytes = bytes(12), length: int | None = None) -> bytes:
    return SIGNATURE + pack("!BBH", command, family, len(body) if length is None else length) + body


@SOME
@given(ENDPOINTS, ENDPOINTS, TLVS, st.binary(max_size=20))
def test_what_is_written_is_read_back_and_the_rest_left_alone(
    client: tuple[str, int], server: tuple[str, int], tlvs: dict[int, bytes], rest: bytes
) -> None:
    data = encode(client, server, tlvs)
    decoded = decode(data + rest)
    assert decoded is not None
    found, used = decoded
    assert used == len(data)
    assert found.tlvs == tlvs
    assert found.client is not None
    mapped = ip_address(client[0]).version == 4 != ip_address(server[0]).version
    assert found.client == (str(ip_address(f"::ffff:{client[0]}")) if mapped else client[0], client[1])


@SOME
@given(ENDPOINTS, ENDPOINTS, TLVS, st.data())
def test_every_prefix_of_a_header_asks_for_more(
    client: tuple[str, int], server: tuple[str, int], tlvs: dict[int, bytes], data: st.DataObject
) -> None:
    whole = encode(client, server, tlvs)
    end = data.draw(st.integers(0, len(whole) - 1))
    assert decode(whole[:end]) is None
    assert decode(bytearray(whole[:end])) is None
    assert looks_like_header(whole[:end])


def test_the_bytes_are_those_of_the_specification() -> None:
    assert V4 == (
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x15"
        b"\xc0\x00\x02\x01\xc6\x33\x64\x02\x04\xd2\x1f\x90"
        b"\x05\x00\x03s-1\xe0\x00\x00"
    )


def test_the_session_id_is_the_unique_id() -> None:
    decoded = decode(V4)
    assert decoded is not None
    assert decoded[0].session_id == "s-1"
    assert ProxyHeader(None).session_id == ""
    assert ProxyHeader(None, {UNIQUE_ID: b"\xff"}).session_id == "\ufffd"


def test_a_local_header_has_no_client_whatever_else_it_holds() -> None:
    for body in (b"", bytes(12), b"\xff" * 7):
        for family in (0x00, 0x11, 0x99):
            assert decode(header(0x20, family, body) + b"GET") == (ProxyHeader(None), 16 + len(body))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n", b"\r\n\r\n\x01", SIGNATURE[:-1] + b"x",
        header(command=0x11), header(command=0x22), header(command=0x31),
        header(family=0x00), header(family=0x12), header(family=0x31),
        header(body=bytes(11)), header(family=0x21, body=bytes(35)), header(body=b""),
        header(body=bytes(12) + b"\x05"), header(body=bytes(12) + b"\x05\x00"),
        header(body=bytes(12) + b"\x05\x00\x02a"), header(body=bytes(12) + b"\x05\x00\x00\x06\xff\xff"),
        header(body=b"", length=MAX_LENGTH + 1),
    ],
)  # fmt: skip
def test_what_is_malformed_raises(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        decode(data)


def test_a_wrong_command_or_length_is_refused_before_the_rest_has_arrived() -> None:
    for data in (header(command=0x11), header(length=MAX_LENGTH + 1)):
        with pytest.raises(ProxyHeaderError):
            decode(data[:16])


def test_the_longest_header_is_accepted() -> None:
    body = bytes(12) + b"\xee" + pack("!H", MAX_LENGTH - 15) + bytes(MAX_LENGTH - 15)
    decoded = decode(header(body=body))
    assert decoded is not None
    assert decoded[1] == 16 + MAX_LENGTH


@SOME
@given(st.binary(max_size=80), st.sampled_from([0x20, 0x21]), st.sampled_from([0x11, 0x21]))
def test_arbitrary_bodies_are_read_or_refused_and_nothing_else(body: bytes, command: int, family: int) -> None:
    try:
        decoded = decode(header(command, family, body))
    except ProxyHeaderError:
        return
    assert decoded is not None
    assert decoded[1] == 16 + len(body)


@pytest.mark.parametrize(("data", "expected"), [(b"", True), (b"\r", True), (SIGNATURE + b"x", True), (b"G", False)])
def test_the_first_bytes_tell_a_header_from_http(data: bytes, expected: bool) -> None:
    assert looks_like_header(data) is expected
