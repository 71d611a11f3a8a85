"""The keys of a node in use: tokens are verified with them, and the JWKS among them is fetched and kept fresh."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
import msgspec

from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.webhooks.fetching import FetchFailed, fetch, session
from flux_gateway.messaging import tokens
from flux_gateway.messaging.codes import ClientError, ErrorCode
from flux_gateway.messaging.keys import Keys
from flux_gateway.messaging.tokens import ConnectToken, KeyUnknown, SubscribeToken

log = logging.getLogger(__name__)

T = TypeVar("T")

FETCH_TIMEOUT = 5.0
"""Seconds for the key server to answer."""
FETCH_PAUSE = 5.0
"""Seconds between two fetches at least, however many tokens name unknown keys."""
REFRESH_INTERVAL = 600.0
"""Seconds after which the set is fetched anew, so that a key that was withdrawn ends within this time."""


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


_KEY_SETS = msgspec.json.Decoder(_KeySet)


class TokenKeys:
    """Verifies tokens for a node. The last good JWKS stands when the key server fails (fail static)."""

    def __init__(
        self, settings: MessagingSettings, keys: Keys, *,
        pause: float = FETCH_PAUSE, interval: float = REFRESH_INTERVAL, timeout: float = FETCH_TIMEOUT,
    ) -> None:  # fmt: skip
        """`keys` are the node's own. Times in seconds."""
        self.keys = keys
        self._url = settings.token_jwks_url
        self._named = (settings.token_audience, settings.token_issuer)
        self._lenient = settings.insecure
        self._pause, self._interval, self._timeout = pause, interval, timeout
        self._client: aiohttp.ClientSession | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._asked: float | None = None
        """When the last fetch began, monotonic seconds."""
        self._failing = False
        """The last fetch failed."""

    def start(self) -> None:
        """Begin to keep the JWKS fresh, if there is one. Must be closed."""
        if self._url and self._refreshing is None:
            self._client = session(self._timeout)
            self._refreshing = asyncio.create_task(self._refresh(), name="jwks")

    async def close(self) -> None:
        """Stop fetching."""
        tasks = [task for task in (self._refreshing, self._fetching) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client:
            await self._client.close()
        self._client = self._refreshing = self._fetching = None

    async def connect_token(self, token: str, now: float) -> ConnectToken:
        """Verify a connection token at `now`, unix seconds.

        Raises `TokenInvalid`, `TokenExpired`, and `ClientError` 100 when the token may be good but the key server does
        not answer.
        """
        return await self._verified(
            lambda: tokens.verify_connect(token, self.keys, now, *self._named, ignore_expiry=self._lenient)
        )

    async def subscribe_token(self, token: str, now: float) -> SubscribeToken:
        """Verify a subscription token, as `connect_token` does."""
        return await self._verified(
            lambda: tokens.verify_subscribe(token, self.keys, now, *self._named, ignore_expiry=self._lenient)
        )

    async def _verified(self, verify: Callable[[], T]) -> T:
        try:
            return verify()
        except KeyUnknown:
            if self._client is None:
                raise
        await self._fetched()
        try:
            return verify()
        except KeyUnknown as error:
            if self._failing:
                raise ClientError(ErrorCode.INTERNAL) from error
            raise

    async def _fetched(self) -> None:
        """Wait until the JWKS is as fresh as it may be: for the fetch under way, for one begun now, or not at all."""
        if self._fetching is None:
            if self._asked is not None and time.monotonic() - self._asked < self._pause:
                return
            self._asked = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch(), name="jwks fetch")
            self._fetching.add_done_callback(self._ended)
        # Several wait for the same fetch; that one of them goes must not end it.
        await asyncio.shield(self._fetching)

    def _ended(self, _: "asyncio.Task[None]") -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        assert self._client is not None
        try:
            found = _KEY_SETS.decode(await fetch(self._client, "GET", self._url))
        except FetchFailed as error:
            self._failed(str(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._failed("did not answer with a JWKS")
        else:
            self.keys = self.keys.with_jwks(found.keys)
            if self._failing:
                log.info("the key server answers: %d keys", len(self.keys))
            self._failing = False

    def _failed(self, why: str) -> None:
        if not self._failing:
            log.warning("the key server (token_jwks_url) %s; the keys fetched before stand", why)
        self._failing = True

    async def _refresh(self) -> None:
        while True:
            await self._fetched()
            await asyncio.sleep(self._pause if self._failing else self._interval)
