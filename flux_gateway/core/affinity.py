"""The affinity key: what decides on which node a client lands (design, section 5)."""

from urllib.parse import parse_qs

import msgspec

from flux_gateway.core.http_head import RequestHead


class AffinityNames(msgspec.Struct, frozen=True):
    """Where a key is looked for, in this order; the client's address is the last resort."""

    query: str = "session"
    header: str = "x-flux-session"
    cookie: str = "flux_session"


def affinity_key(head: RequestHead, client_ip: str, names: AffinityNames) -> str:
    """Return the key of a request: query parameter, else header, else cookie, else the client's address."""
    return (
        _from_query(head.query, names.query)
        or head.header(names.header)
        or _from_cookies(head.header("cookie"), names.cookie)
        or client_ip
    )


def _from_query(query: str, name: str) -> str:
    if name not in query:
        return ""
    return next(iter(parse_qs(query).get(name, ())), "")


def _from_cookies(cookies: str, name: str) -> str:
    for cookie in cookies.split(";"):
        key, _, value = cookie.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""
