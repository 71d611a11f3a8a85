"""What a load run is to do, checked before anything is opened."""

from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

import msgspec

MIN_SIZE = 16
"""Bytes of a message that are taken: 8 for its number, 8 for the time it was sent."""
MAX_SIZE = 1 << 24


class Target(msgspec.Struct, frozen=True):
    """Where a `ws://` URL points. `path` includes the query; `keyed` tells that the query names a session already."""

    host: str
    port: int
    path: str
    keyed: bool

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    def path_of(self, key: str) -> str:
        """Return the path for a client whose affinity key is `key`; the URL's own `session=` goes first."""
        if self.keyed:
            return self.path
        return f"{self.path}{'&' if '?' in self.path else '?'}session={key}"


def parse_url(url: str) -> Target:
    """Take a URL apart. Raises `ValueError` with a text fit for a terminal."""
    try:
        parts = urlsplit(url)
        port = 80 if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from error
    if parts.scheme == "wss":
        raise ValueError(f"{url}: the load client speaks plain ws:// only; TLS would measure the load client itself")
    if parts.scheme != "ws" or not parts.hostname:
        raise ValueError(f"{url}: not a WebSocket URL; it looks like ws://127.0.0.1:8080/echo")
    if parts.username is not None or parts.fragment or port == 0:
        raise ValueError(f"{url}: only ws://HOST[:PORT][/PATH][?QUERY] is understood")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not all("\x21" <= letter <= "\x7e" for letter in path):
        raise ValueError(f"{url}: spaces and letters beyond ASCII must be percent-encoded")
    keyed = any(name == "session" for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return Target(parts.hostname, port, path, keyed)


def expand_sources(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the addresses named by `FIRST-LAST` ranges and single addresses. Raises `ValueError`."""
    addresses = []
    for text in texts:
        first, dash, last = text.partition("-")
        try:
            low = ip_address(first.strip())
            high = ip_address(last.strip()) if dash else low
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from error
        if low.version != high.version or not 0 <= int(high) - int(low) < 4096:
            raise ValueError(f"{text}: a range goes upwards, FIRST-LAST, over at most 4096 addresses")
        addresses += [str(low + offset) for offset in range(int(high) - int(low) + 1)]
    return tuple(addresses)


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One load run. Raises `ValueError` when a value makes no sense."""

    url: str
    clients: int = 1
    rate: float = 1.0
    """Messages per second and client, spread evenly; 0 = closed loop, the next message when an answer comes."""
    window: int = 1
    """Closed loop only: messages in flight per client."""
    size: int = 64
    """Payload bytes of a message."""
    duration: float | None = None
    """Seconds from the end of the ramp on; None = until `stop`."""
    ramp: float = 2000.0
    """New connections per second at the start."""
    grace: float = 5.0
    """Seconds that outstanding answers get at the end."""
    reconnect: bool = True
    connect_timeout: float = 10.0
    """Seconds from dialling to the end of the WebSocket handshake."""
    sources: tuple[str, ...] = ()
    """Local addresses to dial from in turn; an address has some 28,000 ports towards one destination."""
    prefix: str = ""
    """Start of the affinity keys, `<prefix>-<i>`; empty = one of its own for each run."""

    def __post_init__(self) -> None:
        parse_url(self.url)
        faults = [
            text
            for wrong, text in (
                (self.clients < 1, "clients: at least 1"),
                (not 0 <= self.rate < 1e6, "rate: 0 or more messages per second and client"),
                (self.window < 1, "window: at least 1"),
                (not MIN_SIZE <= self.size <= MAX_SIZE, f"size: {MIN_SIZE} to {MAX_SIZE} bytes"),
                (self.duration is not None and not 0 < self.duration < 1e8, "duration: more than 0 seconds"),
                (not 0 < self.ramp < 1e6, "ramp: more than 0 connections per second"),
                (not 0 <= self.grace < 1e6, "grace: 0 or more seconds"),
                (not 0 < self.connect_timeout < 1e6, "connect timeout: more than 0 seconds"),
                (not set(self.prefix) <= _SAFE, "prefix: letters, digits, '.', '_', '-' only"),
                (not all(map(_is_address, self.sources)), "sources: IP addresses, no names"),
            )
            if wrong
        ]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def ramp_seconds(self) -> float:
        """How long it takes until every client has dialled once."""
        return self.clients / self.ramp




def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
