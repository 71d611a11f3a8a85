"""Compression that has no state between messages, so that a session carries no more of it than a header's value.

permessage-deflate (RFC 7692) without context takeover on either side: the value of `Sec-WebSocket-Extensions` that was
negotiated says everything about it.
"""

from collections.abc import Sequence

from websockets.exceptions import InvalidHeader
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.headers import parse_extension

from flux_gateway.core.errors import ThawError, Unmovable

_WIDEST = 15
"""Window bits of a side that was not asked for fewer."""
_SERVER: dict[str | None, int] = {str(bits): bits for bits in range(9, 16)}
_CLIENT: dict[str | None, int] = {str(bits): bits for bits in range(8, 16)}


def to_header(extensions: Sequence[Extension]) -> str:
    """Return a session's extensions as the header's value, or nothing. Raises `Unmovable` when it has others."""
    if not extensions:
        return ""
    (deflate,) = extensions if len(extensions) == 1 else (None,)
    if not isinstance(deflate, PerMessageDeflate):
        raise Unmovable("an extension that cannot be carried")
    if not (deflate.remote_no_context_takeover and deflate.local_no_context_takeover):
        raise Unmovable("compression with context takeover")
    value = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    if deflate.local_max_window_bits != _WIDEST:
        value += f"; server_max_window_bits={deflate.local_max_window_bits}"
    if deflate.remote_max_window_bits != _WIDEST:
        value += f"; client_max_window_bits={deflate.remote_max_window_bits}"
    return value


def from_header(value: str) -> list[Extension]:
    """Return the node's extensions for a negotiated header's value. Raises `ThawError`."""
    if not value:
        return []
    try:
        ((name, parameters),) = parse_extension(value)
        given: dict[str, str | None] = dict(parameters)
        if name != "permessage-deflate" or len(given) != len(parameters):
            raise ValueError
        if given.pop("server_no_context_takeover") or given.pop("client_no_context_takeover"):
            raise ValueError
        server = _SERVER[given.pop("server_max_window_bits", str(_WIDEST))]
        client = _CLIENT[given.pop("client_max_window_bits", str(_WIDEST))]
        if given:
            raise ValueError
    except (InvalidHeader, KeyError, ValueError) as error:
        raise ThawError(f"extensions {value!r} are not known here") from error
    return [PerMessageDeflate(True, True, client, server)]
