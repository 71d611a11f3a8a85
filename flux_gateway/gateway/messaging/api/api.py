"""The HTTP API of a node, for back ends: `POST /api/<method>` on the admin port (facts, section 12)."""

import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from flux_gateway.core.errors import BrokerUnavailable
from flux_gateway.gateway.messaging.api import methods, requests
from flux_gateway.gateway.messaging.api.results import Failed, Replies, Result, failed
from flux_gateway.gateway.messaging.api.slices import in_slices
from flux_gateway.gateway.messaging.orders.control import Control
from flux_gateway.gateway.messaging.parts import Parts
from flux_gateway.messaging.codes import ClientError, ErrorCode
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

PREFIX = "/api/"
"""Exempt from the cluster's token: these calls have a key of their own."""

_SCHEME = "apikey "

_TRANSPORT = ("X-Centrifugo-Error-Mode", "transport")
"""The header that asks for HTTP statuses instead of a 200 with an error."""

_STATUSES: dict[int, int] = {
    ErrorCode.UNKNOWN_CHANNEL: 404,
    ErrorCode.METHOD_NOT_FOUND: 404,
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.NOT_AVAILABLE: 400,
    ErrorCode.UNRECOVERABLE_POSITION: 416,
    ErrorCode.CONCURRENT_PAGINATION: 409,
}
"""By error code; all others are 500."""

_ENCODER = msgspec.json.Encoder()
_BATCH = msgspec.json.Decoder(requests.BatchCall)


class _Method(NamedTuple):
    decode: Callable[[bytes], Any]
    carry_out: Callable[[Parts, Control, Any], Awaitable[Result]]


def _method(shape: Any, carry_out: Callable[[Parts, Control, Any], Awaitable[Result]]) -> _Method:
    return _Method(msgspec.json.Decoder(shape).decode, carry_out)


_METHODS: dict[str, _Method] = {
    "publish": _method(requests.PublishCall, methods.publish),
    "broadcast": _method(requests.BroadcastCall, methods.broadcast),
    "subscribe": _method(requests.SubscribeCall, methods.subscribe),
    "unsubscribe": _method(requests.UnsubscribeCall, methods.unsubscribe),
    "disconnect": _method(requests.DisconnectCall, methods.disconnect),
    "refresh": _method(requests.RefreshCall, methods.refresh),
    "presence": _method(requests.ChannelCall, methods.presence),
    "presence_stats": _method(requests.ChannelCall, methods.presence_stats),
    "history": _method(requests.HistoryCall, methods.history),
    "history_remove": _method(requests.ChannelCall, methods.history_remove),
    "channels": _method(requests.ChannelsCall, methods.channels),
    "info": _method(requests.InfoCall, methods.info),
    "rpc": _method(requests.RpcCall, methods.rpc),
}
"""All but `batch`, which is made of them."""


class _NotCallable(Exception):
    """The body is not JSON, or not of the method's shape."""


def routes(parts: Parts, control: Control, api_key: str) -> list[web.RouteDef]:
    """Return the routes for the admin server. Without a key nobody gets in."""
    if not api_key:
        log.info("the HTTP API is off: to use it, set api_key_file in [messaging]")
    api = _Api(parts, control, api_key.encode())
    return [web.route("*", PREFIX + "{method}", api.serve)]


class _Api:
    def __init__(self, parts: Parts, control: Control, key: bytes) -> None:
        self._parts, self._control, self._key = parts, control, key

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one request."""
        if not self._authorised(request):
            log.warning("refused an API call without the key", extra=fields(peer=request.remote))
            return web.Response(status=401)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        name = request.match_info["method"]
        if name != "batch" and name not in _METHODS:
            return web.Response(status=404)
        body = await request.read()  # at most 1 MiB: aiohttp's own limit answers 413
        try:
            if not body.isascii():
                body.decode()  # payloads inside are passed on as they are: they must be text
            result = await (self._batch(body) if name == "batch" else self._call(name, body))
        except (_NotCallable, UnicodeDecodeError):
            return web.Response(status=400)
        except ClientError as error:
            if request.headers.get(_TRANSPORT[0], "") == _TRANSPORT[1]:
                return _json(_ENCODER.encode(failed(error)), _STATUSES.get(error.code, 500))
            return _json(b'{"error":%b}' % _ENCODER.encode(failed(error)))
        text = _ENCODER.encode(result)
        return _json(text if name == "batch" else b'{"result":%b}' % text)

    def _authorised(self, request: web.Request) -> bool:
        given = request.headers.get("X-API-Key")
        if given is None:
            authorization = request.headers.get("Authorization", "")
            if authorization[: len(_SCHEME)].lower() == _SCHEME:
                given = authorization[len(_SCHEME) :].strip()
            else:
                given = request.query.get("api_key", "")
        return bool(self._key) and hmac.compare_digest(given.encode(errors="surrogateescape"), self._key)

    async def _call(self, name: str, body: bytes) -> Result:
        """Carry out one method. Raises `ClientError` and `_NotCallable`."""
        method = _METHODS[name]
        return await self._carry_out(name, method, _decoded(method.decode, body))

    async def _carry_out(self, name: str, method: _Method, call: Any) -> Result:
        counters = self._parts.counters
        counters.commands[f"api {name}"] += 1
        try:
            return await method.carry_out(self._parts, self._control, call)
        except ClientError as error:
            counters.errors[f"api {name}", str(error.code)] += 1
            raise
        except BrokerUnavailable as error:
            counters.errors[f"api {name}", str(int(ErrorCode.INTERNAL))] += 1
            raise ClientError(ErrorCode.INTERNAL) from error
        except Exception as error:
            counters.errors[f"api {name}", str(int(ErrorCode.INTERNAL))] += 1
            log.exception("api %s", name)
            raise ClientError(ErrorCode.INTERNAL) from error

    async def _batch(self, body: bytes) -> Replies:
        """Carry out many calls, in their order or side by side. A call of a wrong shape spoils them all."""
        batch = _decoded(_BATCH.decode, body)
        calls = [_read(command) for command in batch.commands or ()]
        if batch.parallel:
            return Replies(await in_slices(self._reply, calls))
        return Replies([await self._reply(call) for call in calls])

    async def _reply(self, named: tuple[str, Any]) -> dict[str, Result | Failed]:
        name, call = named
        try:
            if name not in _METHODS:
                raise ClientError(ErrorCode.METHOD_NOT_FOUND if name else ErrorCode.BAD_REQUEST)
            return {name: await self._carry_out(name, _METHODS[name], call)}
        except ClientError as error:
            return {"error": failed(error)}


def _read(command: dict[str, msgspec.Raw]) -> tuple[str, Any]:
    """Return a call of a batch: its method's name, empty if there is more than one, and what it was called with."""
    known = [name for name in command if name in _METHODS]
    if len(known) == 1:
        return known[0], _decoded(_METHODS[known[0]].decode, command[known[0]])
    return ("", None) if known else ("unknown", None)


def _decoded(decode: Callable[[Any], Any], body: bytes | msgspec.Raw) -> Any:
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _NotCallable from error


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, content_type="application/json", status=status)
