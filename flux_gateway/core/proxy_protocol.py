"""PROXY protocol v2: how a proxy tells a node whom it speaks for (HAProxy, "The PROXY protocol", versions 1 & 2)."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack, unpack_from

import msgspec

from flux_gateway.core.errors import ProxyHeaderError

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
HEAD = len(SIGNATURE) + 4
"""Bytes needed before the length of the rest is known."""

MAX_LENGTH = 1024
"""Longest address and TLV part accepted, bytes."""

UNIQUE_ID = 0x05
"""PP2_TYPE_UNIQUE_ID: the session id."""

TICKET = 0xE0
"""First of the types for own use (PP2_TYPE_MIN_CUSTOM): a ticket to attach a session (`core.ticket`)."""

PROXY_ID = 0xE1
"""Own type (PP2_TYPE_MIN_CUSTOM is 0xE0): the id of the proxy, which can move the session if it has a link."""

_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class ProxyHeader(msgspec.Struct, frozen=True):
    """What the header says. A LOCAL header (a proxy's own health check) has no client."""

    client: tuple[str, int] | None
    tlvs: dict[int, bytes] = {}

    @property
    def session_id(self) -> str:
        """The session id, or an empty string when the proxy gave none."""
        return self.tlvs.get(UNIQUE_ID, b"").decode("ascii", "replace")

    @property
    def proxy_id(self) -> str:
        """The id of the proxy, or an empty string when it gave none."""
        return self.tlvs.get(PROXY_ID, b"").decode("ascii", "replace")


def encode(client: tuple[str, int], server: tuple[str, int], tlvs: dict[int, bytes]) -> bytes:
    """Return a PROXY header for a connection from `client` to `server`, both (IP address, port) of one family."""
    source: IPv4Address | IPv6Address = ip_address(client[0])
    destination: IPv4Address | IPv6Address = ip_address(server[0])
    if source.version != destination.version:
        source, destination = _as_v6(client[0]), _as_v6(server[0])
    body = source.packed + destination.packed + pack("!HH", client[1], server[1])
    body += b"".join(pack("!BH", kind, len(value)) + value for kind, value in tlvs.items())
    family = _TCP4 if source.version == 4 else _TCP6
    return SIGNATURE + pack("!BBH", _V2_PROXY, family, len(body)) + body


def _as_v6(address: str) -> IPv6Address:
    return IPv6Address(address if ":" in address else f"::ffff:{address}")


def looks_like_header(data: bytes | bytearray) -> bool:
    """Tell whether the first bytes of a connection are, or could still become, a PROXY v2 signature."""
    return SIGNATURE.startswith(bytes(data[: len(SIGNATURE)]))


def decode(data: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    """Read a header from the start of a connection: (header, bytes used), or None when more bytes are needed.

    Raises `ProxyHeaderError` when the bytes are not a valid header, or one longer than `MAX_LENGTH`.
    """
    if not looks_like_header(data):
        raise ProxyHeaderError("no PROXY v2 signature")
    if len(data) < HEAD:
        return None
    command, family, length = unpack_from("!BBH", data, len(SIGNATURE))
    if command not in (_V2_LOCAL, _V2_PROXY):
        raise ProxyHeaderError(f"unknown version or command 0x{command:02x}")
    if length > MAX_LENGTH:
        raise ProxyHeaderError(f"header of {length} bytes, more than {MAX_LENGTH}")
    if len(data) < HEAD + length:
        return None
    body = bytes(data[HEAD : HEAD + length])
    if command == _V2_LOCAL:
        return ProxyHeader(None), HEAD + length
    size = {_TCP4: 4, _TCP6: 16}.get(family)
    if size is None:
        raise ProxyHeaderError(f"unsupported address family 0x{family:02x}")
    if len(body) < 2 * size + 4:
        raise ProxyHeaderError("address part too short")
    address = str(ip_address(body[:size]))
    (port,) = unpack_from("!H", body, 2 * size)
    return ProxyHeader((address, port), _tlvs(body[2 * size + 4 :])), HEAD + length


def _tlvs(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        if len(data) - at < 3:
            raise ProxyHeaderError("TLV cut short")
        kind, length = unpack_from("!BH", data, at)
        at += 3
        if len(data) - at < length:
            raise ProxyHeaderError("TLV longer than the header")
        found[kind] = data[at : at + length]
        at += length
    return found
