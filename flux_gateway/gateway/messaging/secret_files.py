"""The secrets of messaging, which come from files alone: keys of tokens, and the key of the HTTP API."""

from pathlib import Path
from typing import NamedTuple

from flux_gateway.core.errors import ConfigError
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.keys import Keys, KeyUnusable

SHORTEST_SECRET = 16
"""Bytes below which a secret could be guessed."""


class Secrets(NamedTuple):
    """What the files hold."""

    keys: Keys
    """The node's own keys; a JWKS is fetched later."""
    api_key: str
    """Empty: the HTTP API is off."""


def read_secrets(settings: MessagingSettings) -> Secrets:
    """Read every file that the settings name. Raises `ConfigError` with the faults of all of them."""
    faults: list[str] = []
    hmac = _secret("token_hmac_file", settings.token_hmac_file, faults)
    pem = _content("token_public_key_file", settings.token_public_key_file, faults).decode("ascii", "replace")
    key = _secret("api_key_file", settings.api_key_file, faults)
    for name, path, given in (
        ("token_hmac_file", settings.token_hmac_file, (hmac, "")),
        ("token_public_key_file", settings.token_public_key_file, (b"", pem)),
    ):
        try:
            Keys(*given)
        except KeyUnusable as error:
            faults.append(f"messaging.{name} {path}: {error}")
    if not (key.isascii() and key.decode("ascii", "replace").isprintable()):
        faults.append(f"messaging.api_key_file {settings.api_key_file}: has bytes that no header can carry")
    if faults:
        raise ConfigError(faults)
    return Secrets(Keys(hmac, pem), key.decode("ascii"))


def _secret(name: str, path: str, faults: list[str]) -> bytes:
    """A secret is the file's bytes, but for a line break at the end, which editors add."""
    content = _content(name, path, faults)
    secret = content.removesuffix(b"\n").removesuffix(b"\r")
    if content and len(secret) < SHORTEST_SECRET:
        faults.append(f"messaging.{name} {path}: needs at least {SHORTEST_SECRET} bytes; try `openssl rand -hex 32`")
    return secret


def _content(name: str, path: str, faults: list[str]) -> bytes:
    if not path:
        return b""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        faults.append(f"messaging.{name} {path}: {error.strerror}")
        return b""
    if not content.strip():
        faults.append(f"messaging.{name} {path}: is empty")
        return b""
    return content
