"""`messaging.tokens`: what is believed, and what of it arrives."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from flux_gateway.messaging.keys import Keys, KeyUnusable
from flux_gateway.messaging.tokens import (
    KeyUnknown,
    SubscriptionGrant,
    TokenExpired,
    TokenInvalid,
    verify_connect,
    verify_subscribe,
)

NOW = 1_800_000_000.0
SECRET = b"a secret that has at least sixty-four bytes, as HS512 wants it ......"
KEYS = Keys(SECRET)
RSA = rsa.generate_private_key(65537, 2048)
CURVES = {name: ec.generate_private_key(curve) for name, curve in (
    ("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1()))}
EDWARDS = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "RS384": RSA, "RS512": RSA, **CURVES, "EdDSA": EDWARDS}


def token(claims: Any, algorithm: str = "HS256", key: Any = SECRET, **headers: Any) -> str:
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jwt.PyJWS().encode(payload, key, algorithm, headers)


def pem(key: Any) -> str:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    kinds: dict[str, Any] = {"RSAPrivateKey": RSAAlgorithm, "Ed25519PrivateKey": OKPAlgorithm}
    kind: Any = next((algorithm for name, algorithm in kinds.items() if name in type(key).__name__), ECAlgorithm)
    return {**json.loads(kind.to_jwk(key.public_key())), **more}


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret_verifies(algorithm: str) -> None:
    assert verify_connect(token({"sub": "42"}, algorithm), KEYS, NOW).user == "42"


def test_short_secrets_do_not_warn() -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        text = token({"sub": "42"}, key=b"short")
    assert verify_connect(text, Keys(b"short"), NOW).user == "42"


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_public_keys_verify_from_pem_and_from_a_jwks(algorithm: str) -> None:
    text = token({"sub": "42"}, algorithm, PRIVATE[algorithm], kid="k")
    everything = "\n".join(pem(key) for key in (RSA, *CURVES.values(), EDWARDS))
    assert verify_connect(text, Keys(pem=everything), NOW).user == "42"
    others = [jwk(key, kid="other") for key in (RSA, *CURVES.values(), EDWARDS)]
    assert verify_connect(text, Keys(jwks=[*others, jwk(PRIVATE[algorithm], kid="k")]), NOW).user == "42"
    with pytest.raises(KeyUnknown):
        verify_connect(text, Keys(SECRET, jwks=others), NOW)


def test_a_key_of_a_set_without_a_kid_in_the_token() -> None:
    text = token({"sub": "42"}, "ES256", CURVES["ES256"])
    assert verify_connect(text, Keys(jwks=[jwk(RSA, kid="a"), jwk(CURVES["ES256"], kid="b")]), NOW).user == "42"
    with pytest.raises(KeyUnknown):
        verify_connect(text, Keys(), NOW)
    with pytest.raises(TokenInvalid) as error:
        verify_connect(text, Keys(jwks=[jwk(RSA, kid="a")]), NOW)
    assert not isinstance(error.value, KeyUnknown), "no use in fetching the set again"


def test_what_a_set_says_of_a_key_counts() -> None:
    text = token({}, "RS256", RSA, kid="k")
    for more in ({"use": "enc"}, {"alg": "RS512"}, {"key_ops": ["sign"]}):
        with pytest.raises(TokenInvalid):
            verify_connect(text, Keys(jwks=[jwk(RSA, kid="k", **more)]), NOW)
    for more in ({"use": "sig"}, {"alg": "RS256"}, {"key_ops": ["verify"]}):
        verify_connect(text, Keys(jwks=[jwk(RSA, kid="k", **more)]), NOW)


def test_private_keys_and_rubbish_in_a_set() -> None:
    private = {**json.loads(RSAAlgorithm.to_jwk(RSA)), "kid": "k", "key_ops": ["sign", "verify"]}
    rubbish: list[dict[str, Any]] = [
        {}, {"kty": "RSA"}, {"kty": "XYZ", "kid": "k"}, {"kty": "EC", "crv": "P-256", "x": 1, "y": 2},
        {"kty": "RSA", "n": "!", "e": "!", "kid": "k"}, {"kty": 5}, {"kty": "OKP", "crv": "X25519", "x": "AA"},
    ]  # fmt: skip
    keys = Keys(jwks=[*rubbish, private])
    assert len(keys) == 1
    verify_connect(token({}, "RS256", RSA, kid="k"), keys, NOW)


def test_a_symmetric_key_of_a_set_is_never_believed() -> None:
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("="), "kid": "k"}
    with pytest.raises(TokenInvalid):
        verify_connect(token({}, kid="k"), Keys(jwks=[shared]), NOW)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    text = pem(RSA)
    with pytest.raises(KeyUnusable):
        Keys(text.encode())
    # What an attacker would make, who knows the public key.
    head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(b'{"sub":"admin"}').rstrip(b"=")
    mark = base64.urlsafe_b64encode(hmac.digest(text.encode(), head + b"." + body, hashlib.sha256)).rstrip(b"=")
    with pytest.raises(TokenInvalid):
        verify_connect((head + b"." + body + b"." + mark).decode(), Keys(pem=text), NOW)


@pytest.mark.parametrize("text", ["no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_pem(text: str) -> None:
    with pytest.raises(KeyUnusable):
        Keys(pem=text)


def test_keys_of_other_kinds_are_refused() -> None:
    with pytest.raises(KeyUnusable, match="P-256"):
        Keys(pem=pem(ec.generate_private_key(ec.SECP256K1())))


def test_the_next_set_replaces_the_last_and_leaves_the_node_s_own() -> None:
    keys = Keys(SECRET).with_jwks([jwk(RSA, kid="a")])
    assert keys.knows("a")
    after = keys.with_jwks([jwk(EDWARDS, kid="b")])
    assert (after.knows("a"), after.knows("b"), after.knows(""), len(after)) == (False, True, True, 2)
    assert verify_connect(token({}), after, NOW).user == ""


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("text", [
    pytest.param(
        base64.urlsafe_b64encode(f'{{"alg":"HS256","crit":{DEEP}}}'.encode()).decode().rstrip("=") + ".e30.", id="deep"
    ),
    "", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "\ud800", "e30.e30.", "W10.e30.", "bnVsbA.e30.", "=.=.=",
    base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + ".e30.",
    base64.urlsafe_b64encode(b'{"alg":5}').decode().rstrip("=") + ".e30.",
    base64.urlsafe_b64encode(b'{"alg":"HS256","kid":5}').decode().rstrip("=") + ".e30.",
])  # fmt: skip
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(TokenInvalid) as error:
        verify_connect(text, KEYS, NOW)
    assert not isinstance(error.value, KeyUnknown)


@given(st.text() | st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode() + ".e30.e30"))
def test_nothing_else_than_token_invalid_comes_of_rubbish(text: str) -> None:
    with pytest.raises(TokenInvalid):
        verify_connect(text, KEYS, NOW)


def test_a_changed_token_is_not_genuine() -> None:
    head, body, mark = token({"sub": "42"}).split(".")
    _, other, _ = token({"sub": "43"}).split(".")
    for rest in (f"{other}.{mark}", f"{body}.{mark[:-4]}AAAA", f"{body}.", f"{body}.{mark}AAA"):
        text = f"{head}.{rest}"
        with pytest.raises(TokenInvalid):
            verify_connect(text, KEYS, NOW)
    with pytest.raises(TokenInvalid):
        verify_connect(token({"sub": "42"}, key=SECRET + b"!"), KEYS, NOW)
    with pytest.raises(TokenInvalid):
        verify_connect(token({"sub": "42"}), Keys(), NOW)


def test_a_critical_header_is_not_passed_over() -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","crit":["x"],"x":1}').decode().rstrip("=")
    mark = base64.urlsafe_b64encode(hmac.digest(SECRET, f"{head}.e30".encode(), hashlib.sha256)).decode().rstrip("=")
    with pytest.raises(TokenInvalid, match="not supported"):
        verify_connect(f"{head}.e30.{mark}", KEYS, NOW)


@pytest.mark.parametrize("claims", [
    pytest.param(f'{{"info":{DEEP}}}'.encode(), id="deep"),
    pytest.param(f'{{"x":{DEEP}}}'.encode(), id="deep, unknown"),
    b"[]", b"null", b"x", b"", b'{"sub":"\xff"}', b'{"info":"\xff"}', {"sub": 42}, {"exp": "1"}, {"exp": True},
    b'{"exp":1e999}', {"channels": "a"}, {"channels": [1]}, {"subs": []}, {"subs": {"a": 1}}, {"b64info": "!"},
    {"b64info": "AAA"}, {"subs": {"a": {"override": {"presence": True}}}}, {"channel": "a"}, {"channel": ""},
])  # fmt: skip
def test_claims_of_the_wrong_shape(claims: Any) -> None:
    with pytest.raises(TokenInvalid):
        verify_connect(token(claims), KEYS, NOW)


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sub": ""}, {"info": None, "channels": None, "subs": None}])
def test_anonymous_and_absent(claims: Any) -> None:
    verified = verify_connect(token(claims), KEYS, NOW)
    assert (verified.user, verified.expire_at, verified.info, verified.channels) == ("", None, b"", {})


@pytest.mark.parametrize(
    ("claims", "expire_at"),
    [
        ({"exp": NOW + 1}, NOW + 1), ({"exp": NOW + 1, "expire_at": NOW + 9}, NOW + 9),
        ({"expire_at": NOW + 9}, NOW + 9),
        ({"exp": NOW + 1, "expire_at": 0}, None), ({"expire_at": 0}, None), ({"nbf": NOW}, None),
    ],
)  # fmt: skip
def test_when_a_connection_ends(claims: Any, expire_at: float | None) -> None:
    assert verify_connect(token(claims), KEYS, NOW).expire_at == expire_at
    assert verify_subscribe(token({**claims, "channel": "a"}), KEYS, NOW).expire_at == expire_at


@pytest.mark.parametrize("claims", [{"exp": NOW}, {"exp": 0}, {"nbf": NOW + 1}, {"exp": NOW - 1, "expire_at": 0}])
def test_expired(claims: Any) -> None:
    with pytest.raises(TokenExpired):
        verify_connect(token(claims), KEYS, NOW)
    with pytest.raises(TokenExpired):
        verify_subscribe(token({**claims, "channel": "a"}), KEYS, NOW)
    verify_connect(token(claims), KEYS, NOW, ignore_expiry=True)
    verify_subscribe(token({**claims, "channel": "a"}), KEYS, NOW, ignore_expiry=True)


def test_what_is_not_genuine_is_invalid_and_not_expired() -> None:
    with pytest.raises(TokenInvalid):
        verify_connect(token({"exp": 0}, key=SECRET + b"!"), KEYS, NOW)
    with pytest.raises(TokenInvalid):
        verify_connect(token({"exp": 0, "channel": "a"}), KEYS, NOW)
    with pytest.raises(TokenInvalid):
        verify_connect(token({"exp": 0, "aud": "b"}), KEYS, NOW, "a")


@pytest.mark.parametrize(("claims", "good"), [
    ({"aud": "a", "iss": "i"}, True), ({"aud": ["b", "a"], "iss": "i"}, True), ({"aud": "b", "iss": "i"}, False),
    ({"iss": "i"}, False), ({"aud": "a"}, False), ({"aud": "a", "iss": "j"}, False), ({"aud": [], "iss": "i"}, False),
])  # fmt: skip
def test_audience_and_issuer(claims: Any, good: bool) -> None:
    verify_connect(token(claims), KEYS, NOW)
    if good:
        verify_connect(token(claims), KEYS, NOW, "a", "i")
    else:
        with pytest.raises(TokenInvalid):
            verify_connect(token(claims), KEYS, NOW, "a", "i")


def test_payloads_lose_white_space_and_nothing_else() -> None:
    claims = b'{"info": { "a" : 1.50, "b":\n"x  y" }, "meta": [ 1e2 ], "subs": {"c": {"data": "\\u00fc"}}}'
    verified = verify_connect(token(claims), KEYS, NOW)
    assert verified.info == b'{"a":1.50,"b":"x  y"}'
    assert verified.meta == b"[1e2]"
    assert verified.channels == {"c": SubscriptionGrant(data=b'"\\u00fc"')}


def test_base64_wins_and_may_hold_anything() -> None:
    data = base64.b64encode(b"\x00\xff").decode()
    claims = {"channel": "a", "info": 1, "b64info": data, "data": 2, "b64data": data}
    verified = verify_subscribe(token(claims), KEYS, NOW)
    assert (verified.info, verified.data) == (b"\x00\xff", b"\x00\xff")


def test_subscriptions_by_the_server() -> None:
    assert verify_connect(token({"channels": ["a", "b"]}), KEYS, NOW).channels == {
        "a": SubscriptionGrant(), "b": SubscriptionGrant(),
    }  # fmt: skip
    yes, no = {"value": True}, {"value": False}
    override = {"presence": no, "force_recovery": yes, "other": yes, "join_leave": {}}
    claims = {"channels": ["a"], "subs": {"b": {"info": 1, "data": 2, "override": override}, "c": None}}
    assert verify_connect(token(claims), KEYS, NOW).channels == {
        "b": SubscriptionGrant(b"1", b"2", {"presence": False, "force_recovery": True, "join_leave": False}),
        "c": SubscriptionGrant(),
    }


def test_a_subscription_token() -> None:
    verified = verify_subscribe(token({"sub": "42", "channel": "$a", "client": "c"}), KEYS, NOW)
    assert (verified.user, verified.channel, verified.client) == ("42", "$a", "c")
    assert verify_subscribe(token({"channel": "a"}), KEYS, NOW).client == ""
    for claims in ({}, {"channel": ""}, {"channel": None}, {"channel": 5}):
        with pytest.raises(TokenInvalid):
            verify_subscribe(token(claims), KEYS, NOW)


def test_no_text_says_anything_of_the_token() -> None:
    texts = []
    for claims in ({"sub": "hush", "exp": 1}, {"sub": "hush", "channel": "hush"}, {"sub": "hush", "exp": "hush"}):
        with pytest.raises((TokenInvalid, TokenExpired)) as error:
            verify_connect(token(claims), KEYS, NOW)
        texts.append(str(error.value))
    assert "hush" not in "".join(texts)
