"""The head of an HTTP/1.1 message: just enough of RFC 9112 for a WebSocket handshake to be judged and routed."""

import re
from http import HTTPStatus

import msgspec

from flux_gateway.core.errors import HttpError

END = b"\r\n\r\n"

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_TARGET = re.compile(rb"[\x21-\x7e]+\Z")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")


class RequestHead(msgspec.Struct, frozen=True):
    """A parsed request head. Header names are lower case; values are kept in order of arrival."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What follows the first question mark of the target."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str:
        """Return the first value of a header (name in lower case), or an empty string."""
        for key, value in self.headers:
            if key == name:
                return value
        return ""

    def has_token(self, name: str, token: str) -> bool:
        """Tell whether a comma-separated header (name in lower case) holds a token, whatever its case."""
        return any(
            part.strip().lower() == token
            for key, value in self.headers
            if key == name
            for part in value.split(",")
        )


def find_end(data: bytes | bytearray, limit: int) -> int:
    """Return the index just past the head's empty line, or -1 if it has not arrived yet.

    Raises `HttpError` 431 when the head is longer than `limit` bytes, and 400 as soon as the bytes cannot be HTTP.
    """
    end = data.find(END)
    if (end + len(END) if end >= 0 else len(data)) > limit:
        raise HttpError(431, f"request head larger than {limit} bytes")
    if end >= 0:
        return end + len(END)
    if data and not 0x41 <= data[0] <= 0x5A:
        raise HttpError(400, "not an HTTP request")
    return -1


def parse_request(head: bytes) -> RequestHead:
    """Parse a whole request head, up to and including its empty line. Raises `HttpError` 400 or 505."""
    lines = head[: -len(END)].split(b"\r\n")
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]) or not _TARGET.match(parts[1]):
        raise HttpError(400, "malformed request line")
    if not re.match(rb"HTTP/1\.[01]\Z", parts[2]):
        raise HttpError(505 if parts[2].startswith(b"HTTP/") else 400, "HTTP/1.1 is spoken here")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not _TOKEN.match(name) or not _VALUE.match(value):
            raise HttpError(400, "malformed header line")
        headers.append((name.decode("ascii").lower(), value.decode("latin-1")))
    request = RequestHead(parts[0].decode(), parts[1].decode(), tuple(headers))
    hosts = sum(key == "host" for key, _ in request.headers)
    if hosts > 1 or (not hosts and parts[2] == b"HTTP/1.1"):
        raise HttpError(400, "one Host header is needed")
    return request


def require_websocket(request: RequestHead) -> None:
    """Raise `HttpError` 426 unless the request asks for a WebSocket upgrade (RFC 6455, section 4.2.1)."""
    if request.method != "GET":
        raise HttpError(405, "only GET opens a WebSocket", [("Allow", "GET")])
    if not request.has_token("connection", "upgrade") or not request.has_token("upgrade", "websocket"):
        raise HttpError(
            426,
            "this address serves WebSockets: connect with a WebSocket client",
            [("Upgrade", "websocket"), ("Connection", "Upgrade, close")],
        )


def error_response(error: HttpError) -> bytes:
    """Return the whole HTTP answer for an error: status line, headers, one line of text; the connection closes."""
    body = f"{error.status} {error}\n".encode()
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
    names = {name.lower() for name, _ in error.headers}
    if "connection" not in names:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in error.headers]
    lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def response_status(head: bytes | bytearray) -> int:
    """Return the status code of a response head, or 0 if the bytes are not one."""
    match = re.match(rb"HTTP/1\.[01] (\d{3})[ \r]", head)
    return int(match[1]) if match else 0


def response_header(head: bytes | bytearray, name: bytes) -> str:
    """Return the first value of a header (name in lower case) of a whole response head, or an empty string."""
    for line in bytes(head).split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip(b" \t").decode("latin-1")
    return ""
