"""Tokens of connections and subscriptions: JSON Web Tokens, verified and taken apart (facts, section 11).

PyJWT does the cryptography; its checks of claims are not used, because time comes in as an argument here and payloads
have to stay the bytes they are. No text of an exception says anything of a token: it may end in a log.
"""

import base64
import binascii
import re
from typing import Any

import msgspec
from jwt.exceptions import PyJWTError

from flux_gateway.core.errors import FluxError
from flux_gateway.messaging.keys import ALGORITHMS, HMAC, Keys

OVERRIDES = ("presence", "join_leave", "force_push_join_leave", "force_recovery", "force_positioning")
"""Options of a namespace that a subscription may have otherwise."""

_SEGMENT = re.compile(rb"[A-Za-z0-9_-]*")


class TokenInvalid(FluxError):
    """A token is not genuine, or does not say what such a token must."""


class KeyUnknown(TokenInvalid):
    """The JWKS has no key that can have signed the token: it may be a new one, worth fetching the set again."""


class TokenExpired(FluxError):
    """A token is genuine, but not valid now."""


class SubscriptionGrant(msgspec.Struct, frozen=True):
    """What a token says of one subscription by the server."""

    info: bytes = b""
    data: bytes = b""
    override: dict[str, bool] = {}


class ConnectToken(msgspec.Struct, frozen=True):
    """Who a connection belongs to. Payloads are JSON text, or any bytes if they came as base64; empty: absent."""

    user: str
    expire_at: float | None
    """Unix seconds; None: never."""
    info: bytes
    channels: dict[str, SubscriptionGrant]
    meta: bytes


class SubscribeToken(msgspec.Struct, frozen=True):
    """Who may subscribe to what. Payloads as in `ConnectToken`."""

    user: str
    channel: str
    client: str
    """The connection it is for; empty: any of the user's."""
    expire_at: float | None
    info: bytes
    data: bytes
    override: dict[str, bool]


class _Flag(msgspec.Struct):
    value: bool = False


class _Header(msgspec.Struct):
    alg: str
    kid: str = ""
    crit: Any = None


class _Grant(msgspec.Struct):
    info: msgspec.Raw = msgspec.Raw()
    b64info: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    b64data: str | None = None
    override: dict[str, _Flag | None] | None = None


class _Claims(_Grant):
    sub: str | None = None
    exp: float | None = None
    nbf: float | None = None
    expire_at: float | None = None
    aud: str | list[str] | None = None
    iss: str | None = None
    channels: list[str] | None = None
    subs: dict[str, _Grant | None] | None = None
    meta: msgspec.Raw = msgspec.Raw()
    channel: str | msgspec.UnsetType | None = msgspec.UNSET
    client: str | None = None


_HEADERS = msgspec.json.Decoder(_Header)
_CLAIMS = msgspec.json.Decoder(_Claims)


def verify_connect(
    token: str, keys: Keys, now: float, audience: str = "", issuer: str = "", *, ignore_expiry: bool = False
) -> ConnectToken:
    """Verify a connection token. `now` in unix seconds; `audience` and `issuer` count if not empty.

    Raises `TokenInvalid` (`KeyUnknown` if another JWKS might help), and `TokenExpired` unless expiry is ignored.
    """
    claims = _claims(token, keys, audience, issuer)
    if claims.channel is not msgspec.UNSET:
        raise TokenInvalid("a subscription token was given for a connection")
    grants = {channel: _Grant() for channel in claims.channels or ()}
    if claims.subs:
        grants = {channel: grant or _Grant() for channel, grant in claims.subs.items()}
    verified = ConnectToken(
        user=claims.sub or "",
        expire_at=_expire_at(claims),
        info=_payload(claims.info, claims.b64info),
        channels={
            channel: SubscriptionGrant(
                _payload(grant.info, grant.b64info), _payload(grant.data, grant.b64data), _override(grant)
            )
            for channel, grant in grants.items()
        },
        meta=_payload(claims.meta, None),
    )
    _judge_time(claims, now, ignore_expiry)
    return verified


def verify_subscribe(
    token: str, keys: Keys, now: float, audience: str = "", issuer: str = "", *, ignore_expiry: bool = False
) -> SubscribeToken:
    """Verify a subscription token, as `verify_connect` does. Whether it is for this channel, user and client is for
    `permissions` to judge.
    """
    claims = _claims(token, keys, audience, issuer)
    if not isinstance(claims.channel, str) or not claims.channel:
        raise TokenInvalid("the token names no channel")
    verified = SubscribeToken(
        user=claims.sub or "",
        channel=claims.channel,
        client=claims.client or "",
        expire_at=_expire_at(claims),
        info=_payload(claims.info, claims.b64info),
        data=_payload(claims.data, claims.b64data),
        override=_override(claims),
    )
    _judge_time(claims, now, ignore_expiry)
    return verified


def _claims(token: str, keys: Keys, audience: str, issuer: str) -> _Claims:
    """Verify signature, shape, audience and issuer."""
    payload = _verified(token, keys)
    try:
        claims = _CLAIMS.decode(payload.decode())  # payloads inside are passed on as they are: they must be text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TokenInvalid("the token's claims are not as they must be") from error
    if audience and audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud or ()):
        raise TokenInvalid("the token is for another audience")
    if issuer and claims.iss != issuer:
        raise TokenInvalid("the token is of another issuer")
    return claims


def _verified(token: str, keys: Keys) -> bytes:
    """Return the payload of a token that one of the keys has signed."""
    try:
        signing_input, signature = token.encode("ascii").rsplit(b".", 1)
        head, payload = signing_input.split(b".")
        header = _HEADERS.decode(_segment(head))
        content, mark = _segment(payload), _segment(signature)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise TokenInvalid("no token at all") from error
    algorithm = ALGORITHMS.get(header.alg)
    if algorithm is None or header.crit is not None:
        raise TokenInvalid("the token asks for what is not supported")
    for key in keys.candidates(header.alg, header.kid):
        try:
            if algorithm.verify(signing_input, key.material, mark):
                return content
        except (PyJWTError, ValueError):  # a signature that is none for this kind of key
            continue
    if header.alg not in HMAC and not keys.knows(header.kid):
        raise KeyUnknown("the token is signed with a key that is not known")
    raise TokenInvalid("no key of this node has signed the token")


def _segment(text: bytes) -> bytes:
    if not _SEGMENT.fullmatch(text):
        raise ValueError
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _judge_time(claims: _Claims, now: float, ignore_expiry: bool) -> None:
    if ignore_expiry:
        return
    if claims.exp is not None and now >= claims.exp:
        raise TokenExpired("the token has expired")
    if claims.nbf is not None and now < claims.nbf:
        raise TokenExpired("the token is not valid yet")


def _expire_at(claims: _Claims) -> float | None:
    if claims.expire_at is not None:
        return claims.expire_at or None
    return claims.exp


def _payload(text: msgspec.Raw, base64_text: str | None) -> bytes:
    """Return a payload: base64 wins; JSON loses its white space and nothing else."""
    if base64_text:
        try:
            return base64.b64decode(base64_text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise TokenInvalid("a payload of the token is not base64") from error
    raw = bytes(text)
    return b"" if raw in (b"", b"null") else msgspec.json.format(raw, indent=-1)


def _override(grant: _Grant) -> dict[str, bool]:
    return {name: flag.value for name, flag in (grant.override or {}).items() if flag and name in OVERRIDES}
