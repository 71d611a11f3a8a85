"""Webhooks: a back end is asked by HTTP who a client is and what it may (facts, section 13).

One POST a question, never repeated: whether the back end has acted on a request that got no answer is not known here.
"""

import base64
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import aiohttp
import msgspec

from flux_gateway.core.errors import FluxError
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.messaging.webhooks import answers as webhook_answers
from flux_gateway.gateway.messaging.webhooks.answers import (
    ConnectAnswer,
    PublishAnswer,
    RefreshAnswer,
    RpcAnswer,
    SubscribeAnswer,
)
from flux_gateway.gateway.messaging.webhooks.fetching import FetchFailed, fetch, session
from flux_gateway.messaging.codes import ClientError, Disconnect, ErrorCode
from flux_gateway.messaging.commands import ConnectRequest

if TYPE_CHECKING:
    from flux_gateway.gateway.messaging.client import Client

T = TypeVar("T")

EVENTS = ("connect", "refresh", "subscribe", "publish", "rpc", "sub_refresh")


class WebhookFailed(FluxError):
    """A back end could not be asked whether a right goes on; it is to go on for a while."""


class Caller(NamedTuple):
    """What every question says of the client."""

    client: str
    user: str
    protocol: str
    """json or protobuf"""
    headers: Mapping[str, str]
    """Of its handshake."""
    meta: bytes = b""
    """JSON; empty: none."""
    transport: str = "websocket"

    @classmethod
    def of(cls, client: "Client") -> "Caller":
        """Return what is to be said of a client."""
        encoding = client.encoding
        return cls(client.id, client.user, encoding.codec.name, client.headers, client.meta, encoding.transport)


class WebhookCounters:
    """What became of the questions."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """By (event, outcome): ok, error, disconnect, or why it failed (`FetchFailed.outcome`)."""
        self.seconds: dict[str, float] = dict.fromkeys(EVENTS, 0.0)
        """Spent waiting for answers, by event."""


class Webhooks:
    """Asks the back end. Connections are opened when they are needed first; it must be closed."""

    def __init__(self, settings: MessagingSettings) -> None:
        self.counters = WebhookCounters()
        self._urls = {event: getattr(settings, f"webhook_{event}_url") for event in EVENTS}
        self._timeout = settings.webhook_timeout
        self._headers = frozenset(name.lower() for name in settings.webhook_headers)
        self._http: aiohttp.ClientSession | None = None

    def asks(self, event: str) -> bool:
        """Whether there is a webhook for this event."""
        return bool(self._urls[event])

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def connect(self, caller: Caller, request: ConnectRequest) -> ConnectAnswer | None:
        """Ask who a client is that came without a token; None: nobody.

        Raises, as `subscribe`, `publish` and `rpc` do: `ClientError` and `Disconnect` as the back end wants it, and
        `ClientError` 100 when there is no usable answer.
        """
        body = {
            "name": request.name, "version": request.version, **_payload(caller, request.data),
            "channels": list(request.subs),
            "headers": {name: value for name, value in request.headers.items() if name.lower() in self._headers},
        }  # fmt: skip
        return await self._asked("connect", caller, body, webhook_answers.connect)

    async def subscribe(self, caller: Caller, channel: str, data: bytes, token: str) -> SubscribeAnswer:
        """Ask whether the client may subscribe."""
        body = {**_person(caller), "channel": channel, **({"token": token} if token else {}), **_payload(caller, data)}
        return await self._asked("subscribe", caller, body, webhook_answers.subscribe)

    async def publish(self, caller: Caller, channel: str, data: bytes) -> PublishAnswer:
        """Ask whether the client may publish, and what."""
        body = {**_person(caller), "channel": channel, **_payload(caller, data)}
        return await self._asked("publish", caller, body, webhook_answers.publish)

    async def rpc(self, caller: Caller, method: str, data: bytes) -> RpcAnswer:
        """Have a call of the client answered."""
        body = {**_person(caller), "method": method, **_payload(caller, data)}
        return await self._asked("rpc", caller, body, webhook_answers.rpc)

    async def refresh(self, caller: Caller) -> RefreshAnswer | None:
        """Ask whether an expired connection goes on; None: no. Raises `Disconnect`, and `WebhookFailed` if there is no
        usable answer, or an error for one.
        """
        return await self._renewed("refresh", caller, _person(caller))

    async def sub_refresh(self, caller: Caller, channel: str) -> RefreshAnswer | None:
        """Ask whether an expired subscription goes on, as `refresh` does."""
        return await self._renewed("sub_refresh", caller, {**_person(caller), "channel": channel})

    async def _renewed(self, event: str, caller: Caller, body: dict[str, Any]) -> RefreshAnswer | None:
        try:
            return await self._ask(event, caller, body, webhook_answers.refresh)
        except (FetchFailed, ClientError) as error:
            raise WebhookFailed(f"the {event} webhook {error}") from error

    async def _asked(self, event: str, caller: Caller, body: dict[str, Any], read: Callable[[bytes], T]) -> T:
        try:
            return await self._ask(event, caller, body, read)
        except FetchFailed as error:
            raise ClientError(ErrorCode.INTERNAL) from error

    async def _ask(self, event: str, caller: Caller, body: dict[str, Any], read: Callable[[bytes], T]) -> T:
        """Ask, count, and read the answer."""
        if self._http is None:
            self._http = session(self._timeout)
        asked = {
            "client": caller.client, "transport": caller.transport, "protocol": caller.protocol,
            "encoding": "json" if caller.protocol == "json" else "binary",
            **body,
        }  # fmt: skip
        headers = {name: value for name, value in caller.headers.items() if name.lower() in self._headers}
        headers["Content-Type"] = "application/json"
        begun, outcome = time.monotonic(), "cancelled"
        try:
            answer = read(
                await fetch(self._http, "POST", self._urls[event], data=msgspec.json.encode(asked), headers=headers)
            )
            outcome = "ok"
        except FetchFailed as error:
            outcome = error.outcome
            raise
        except ClientError:
            outcome = "error"
            raise
        except Disconnect:
            outcome = "disconnect"
            raise
        finally:
            self.counters.outcomes[event, outcome] += 1
            self.counters.seconds[event] += time.monotonic() - begun
        return answer


def _payload(caller: Caller, data: bytes) -> dict[str, Any]:
    """A JSON client's payload is JSON and is embedded as it is; of another's nothing is known."""
    if not data:
        return {}
    if caller.protocol == "json":
        return {"data": msgspec.Raw(data)}
    return {"b64data": base64.b64encode(data).decode()}


def _person(caller: Caller) -> dict[str, Any]:
    return {"user": caller.user, **({"meta": msgspec.Raw(caller.meta)} if caller.meta else {})}
