"""A client made of the published Python SDK (PyPI `centrifuge-python`), on an event loop in a thread of its own."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import centrifuge  # type: ignore[import-untyped, unused-ignore]
from centrifuge import CentrifugeError, ReplyError, StreamPosition, UnauthorizedError

from tests.sdk.client import PATIENCE, CallFailed, SdkClient

_TIMES = {"minReconnectDelay": "min_reconnect_delay", "maxReconnectDelay": "max_reconnect_delay"}
"""Options in milliseconds, as the JavaScript SDK names them, and what they are here, in seconds."""


class PythonClient(SdkClient):
    """The SDK's calls are coroutines: `call` runs one on the client's loop, and waits for it."""

    def __init__(
        self,
        url: str,
        *,
        tokens: Sequence[str] = (),
        protobuf: bool = False,
        transport: str = "websocket",
        **options: Any,
    ) -> None:
        super().__init__()
        assert transport == "websocket", "the Python SDK knows nothing else"
        self.protobuf = protobuf
        self._url = url
        self._tokens = list(tokens)
        self._options = {
            _TIMES.get(name, name): value / 1000 if name in _TIMES else value for name, value in options.items()
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the loop, and make the client on it."""
        assert self._loop is None, "started already"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="python-client", daemon=True)
        self._thread.start()
        self._run(self._make())

    def stop(self) -> None:
        """Disconnect, and end the loop with whatever is left on it."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        assert self._thread is not None
        asyncio.run_coroutine_threadsafe(self._end(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(PATIENCE)
        loop.close()

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a call of the SDK. Raises `CallFailed`."""
        try:
            return self._run(getattr(self, f"_do_{name}")(**arguments)) or {}
        except ReplyError as error:
            raise CallFailed(error.code, error.message) from error
        except CentrifugeError as error:
            raise CallFailed(0, str(error)) from error

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        assert self._loop is not None, "not started"
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    async def _make(self) -> None:
        if "data" in self._options:
            self._options["data"] = self._encode(self._options["data"])
        self._sdk = centrifuge.Client(
            self._url, events=_Events(self, {}), use_protobuf=self.protobuf, proxy=None,
            **self._credentials(self._tokens, {}), **self._options,
        )  # fmt: skip

    async def _end(self) -> None:
        await self._sdk.disconnect()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        # Closing the transport runs in the background, for a second at most.
        await asyncio.wait(left, timeout=2) if left else None
        for task in left:
            task.cancel()
        for task in left:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _credentials(self, tokens: Sequence[str], what: dict[str, Any]) -> dict[str, Any]:
        if not tokens:
            return {}
        later = list(tokens[1:])

        async def next_token(*_channel: str) -> str:
            self.note({"event": "token", **what})
            if not later:
                raise UnauthorizedError("no token left")
            return later.pop(0)

        return {"token": tokens[0], "get_token": next_token}

    # The calls.

    async def _do_connect(self) -> None:
        # It returns when the first attempt is over, which need not succeed.
        self._connecting = asyncio.create_task(self._sdk.connect())

    async def _do_disconnect(self) -> None:
        await self._sdk.disconnect()

    async def _do_set_token(self, token: str) -> None:
        self._sdk.set_token(token)

    async def _do_subscribe(self, channel: str, tokens: Sequence[str], options: dict[str, Any]) -> None:
        subscription = self._sdk.get_subscription(channel)
        if subscription is None:
            if "data" in options:
                options["data"] = self._encode(options["data"])
            events = _Events(self, {"channel": channel, "server": False})
            subscription = self._sdk.new_subscription(
                channel, events=events, **self._credentials(tokens, {"channel": channel}), **options
            )
        await subscription.subscribe()

    async def _do_unsubscribe(self, channel: str) -> None:
        await self._subscription(channel).unsubscribe()

    async def _do_remove(self, channel: str) -> None:
        self._sdk.remove_subscription(self._subscription(channel))

    def _subscription(self, channel: str) -> centrifuge.Subscription:
        subscription = self._sdk.get_subscription(channel)
        assert subscription is not None, f"no subscription to {channel}"
        return subscription

    async def _do_publish(self, channel: str, data: Any) -> None:
        await self._sdk.publish(channel, self._encode(data))

    async def _do_rpc(self, method: str, data: Any) -> dict[str, Any]:
        return self.decode((await self._sdk.rpc(method, self._encode(data))).data)

    async def _do_presence(self, channel: str) -> dict[str, Any]:
        found = await self._sdk.presence(channel)
        return {"clients": {client: self.info(info) for client, info in found.clients.items()}}

    async def _do_presence_stats(self, channel: str) -> dict[str, Any]:
        found = await self._sdk.presence_stats(channel)
        return {"num_clients": found.num_clients, "num_users": found.num_users}

    async def _do_history(self, channel: str, options: dict[str, Any]) -> dict[str, Any]:
        since = options.pop("since", None)
        found = await self._sdk.history(channel, since=StreamPosition(**since) if since else None, **options)
        publications = [self.publication(publication) for publication in found.publications]
        return {"publications": publications, "offset": found.offset, "epoch": found.epoch}

    # Payloads: bytes with Protobuf, values with JSON.

    def _encode(self, data: Any) -> Any:
        if not self.protobuf:
            return data
        return (data["raw"] if isinstance(data, dict) and "raw" in data else json.dumps(data)).encode()

    def decode(self, data: Any) -> dict[str, Any]:
        """Return the fields of a payload."""
        if not self.protobuf:
            return {"data": data}
        if not data:
            return {"data": None}
        raw = data.decode()
        try:
            return {"data": json.loads(raw), "raw": raw}
        except ValueError:
            return {"data": None, "raw": raw}

    def info(self, info: centrifuge.ClientInfo | None) -> dict[str, Any] | None:
        """Return the fields of what is known of a client."""
        if info is None:
            return None
        payloads = {"conn_info": self.decode(info.conn_info)["data"], "chan_info": self.decode(info.chan_info)["data"]}
        return {"user": info.user, "client": info.client, **payloads}

    def publication(self, publication: centrifuge.Publication) -> dict[str, Any]:
        """Return the fields of a publication."""
        return {
            **self.decode(publication.data), "offset": publication.offset, "info": self.info(publication.info),
            "tags": dict(publication.tags),
        }  # fmt: skip


class _Events:
    """Takes what the SDK calls `on_...`, for the client itself or one of its subscriptions."""

    def __init__(self, client: PythonClient, fixed: dict[str, Any]) -> None:
        self._client, self._fixed = client, fixed

    def __getattr__(self, name: str) -> Callable[[Any], Awaitable[None]]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        async def note(context: Any) -> None:
            where = self._fixed
            if not where and hasattr(context, "channel"):
                where = {"channel": context.channel, "server": True}
            self._client.note({"event": name.removeprefix("on_"), **where, **self._fields(context)})

        return note

    def _fields(self, context: Any) -> dict[str, Any]:
        fields = {name: value for name, value in vars(context).items() if name != "channel"}
        if "pub" in fields:
            return self._client.publication(fields["pub"])
        if "info" in fields:
            return {"info": self._client.info(fields["info"])}
        if "error" in fields:
            error = fields["error"]
            return {"code": getattr(error, "code", fields["code"]), "message": str(error)}
        if "data" in fields:
            fields.update(self._client.decode(fields["data"]))
        if "stream_position" in fields:
            position = fields.pop("stream_position")
            fields["offset"], fields["epoch"] = (position.offset, position.epoch) if position else (0, "")
        fields.pop("version", None)
        return fields
