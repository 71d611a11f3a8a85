"""Keys that tokens are verified with, and which of them may answer for which algorithm.

An algorithm is never taken from the token alone: a key is asked only for the algorithms of its kind, so that a public
key can never be taken for an HMAC secret.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from flux_gateway.core.errors import FluxError

HMAC = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDWARDS = ("EdDSA",)

ALGORITHMS: dict[str, Algorithm] = {
    name: algorithm for name, algorithm in get_default_algorithms().items()
    if name in (*HMAC, *_RSA, *_CURVES.values(), *_EDWARDS)
}  # fmt: skip
"""What a token may be signed with, by its name in the header. Not among them: none."""

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class KeyUnusable(FluxError):
    """A key that was given by the operator cannot be used; the text says why."""


class Key(NamedTuple):
    """One key, ready for use."""

    kid: str
    """Its name in a JWKS; empty: without."""
    algorithms: tuple[str, ...]
    material: Any
    """Bytes of a secret, or a public key of `cryptography`."""


class Keys:
    """All keys of a node. Never changed: `with_jwks` makes the next one."""

    def __init__(self, hmac: bytes = b"", pem: str = "", jwks: Iterable[Mapping[str, Any]] = ()) -> None:
        """`hmac`: a secret; `pem`: any number of public keys; `jwks`: the member `keys` of a JWKS.

        Raises `KeyUnusable` for a PEM that cannot be read. What cannot be used in a JWKS is passed over: a set may
        hold keys for other purposes.
        """
        self._own = (*_secret(hmac), *_public(pem))
        self._fetched = tuple(key for jwk in jwks for key in _from_jwk(jwk))

    def with_jwks(self, jwks: Iterable[Mapping[str, Any]]) -> "Keys":
        """Return the same keys with another JWKS."""
        keys = Keys(jwks=jwks)
        keys._own = self._own
        return keys

    def candidates(self, algorithm: str, kid: str) -> Iterator[Key]:
        """Yield the keys that may have signed. `kid` is empty when the token names none."""
        for key in self._own:
            if algorithm in key.algorithms:
                yield key
        for key in self._fetched:
            if algorithm in key.algorithms and (not kid or key.kid == kid):
                yield key

    def knows(self, kid: str) -> bool:
        """Whether the JWKS has a key of that name; of any, if the name is empty."""
        return any(not kid or key.kid == kid for key in self._fetched)

    def __len__(self) -> int:
        return len(self._own) + len(self._fetched)


def _secret(hmac: bytes) -> Iterator[Key]:
    if hmac:
        try:
            material = ALGORITHMS[HMAC[0]].prepare_key(hmac)
        except PyJWTError as error:
            raise KeyUnusable("the secret is a public key, not a secret of its own") from error
        yield Key("", HMAC, material)


def _public(pem: str) -> Iterator[Key]:
    blocks = [match.group() for match in _PEM.finditer(pem)]
    if pem.strip() and not blocks:
        raise KeyUnusable("no PEM block (-----BEGIN PUBLIC KEY-----) in it")
    for number, block in enumerate(blocks, start=1):
        try:
            material = load_pem_public_key(block.encode())
        except ValueError as error:
            raise KeyUnusable(f"PEM block {number} is no public key") from error
        algorithms = _algorithms(material)
        if not algorithms:
            raise KeyUnusable(f"PEM block {number}: use RSA, P-256, P-384, P-521 or Ed25519")
        yield Key("", algorithms, material)


def _from_jwk(jwk: Mapping[str, Any]) -> Iterator[Key]:
    operations = jwk.get("key_ops")
    if jwk.get("kty") == "oct" or jwk.get("use", "sig") != "sig":
        return
    if isinstance(operations, list) and "verify" not in operations:
        return
    try:
        material: Any = PyJWK(dict(jwk)).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        return
    if hasattr(material, "public_key"):  # whoever made the set put private keys into it
        material = material.public_key()
    named = jwk.get("alg")
    algorithms = tuple(name for name in _algorithms(material) if named in (None, name))
    kid = jwk.get("kid", "")
    if algorithms and isinstance(kid, str):
        yield Key(kid, algorithms, material)


def _algorithms(material: Any) -> tuple[str, ...]:
    if isinstance(material, rsa.RSAPublicKey):
        return _RSA
    if isinstance(material, ec.EllipticCurvePublicKey):
        name = _CURVES.get(material.curve.name)
        return (name,) if name else ()
    return _EDWARDS if isinstance(material, ed25519.Ed25519PublicKey) else ()
