"""The node's end of the links: one WebSocket per proxy on the admin port (design, section 6)."""

import asyncio
import logging
from collections.abc import Callable

import msgspec
from aiohttp import WSMsgType, web

from flux_gateway.core import link
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.admin import authorised, json_response
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.outbox import Outbox

log = logging.getLogger(__name__)

_SILENCE = 2.9
"""Seconds without a ping, sent once a second, after which this node has been cut off."""

_PATIENCE = 10.0
"""Seconds without a ping after which a proxy's link is given up."""


_RETURN = 60.0
"""Seconds after which a proxy without a link is taken for gone: longer than its keeper waits for its next process."""

_LAST_WORD = 0.5
"""Seconds at most to send what was said before a link is closed."""


class ProxyLink:
    """One proxy's link."""

    def __init__(self, proxy_id: str, socket: web.WebSocketResponse) -> None:
        self.proxy_id = proxy_id
        self._socket = socket
        self.outbox = Outbox(socket)
        self.say: Callable[[link.ToProxy], None] = self.outbox.say
        """Sends a message, after all that were given before it."""

    async def close(self) -> None:
        """Send what was said, then say goodbye."""
        await self.outbox.sent(_LAST_WORD)
        await self._socket.close()


class Links:
    """Answers proxies, and tells every proxy at once when the state changes."""

    def __init__(self, node: Node, token: str) -> None:
        self._node, self._token = node, token
        self._open: set[ProxyLink] = set()
        self._lost_at: dict[str, float] = {}
        """By id of a proxy without a link, when its last one closed, monotonic seconds."""
        node.proxy_away = self._away
        node.on_change(lambda before, after, detail: self._tell())

    def proxies(self) -> frozenset[str]:
        """Return the ids of the proxies that have a link now: they can move the sessions that came through them."""
        return frozenset(one.proxy_id for one in self._open)

    def _away(self, proxy_id: str) -> bool:
        lost_at = self._lost_at.get(proxy_id)
        return lost_at is not None and self._node.now() - lost_at < _RETURN

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle `GET /link?proxy=ID`, for as long as the proxy keeps it open."""
        if not authorised(request, self._token):
            return json_response({"error": "the link needs the cluster token"}, 401)
        socket = web.WebSocketResponse(max_msg_size=link.OVERHEAD, compress=False, receive_timeout=_PATIENCE)
        await socket.prepare(request)
        proxy = ProxyLink(request.query.get("proxy", str(request.remote)), socket)
        self._open.add(proxy)
        if self._lost_at.pop(proxy.proxy_id, None) is not None:
            self._node.forgive()  # pongs that waited for the proxy are only now on their way
        log.info("link open", extra=fields(proxy=proxy.proxy_id))
        writing = asyncio.create_task(proxy.outbox.write(), name=f"link {proxy.proxy_id}")
        try:
            proxy.say(self._status(0))
            await self._answer(socket, proxy)
        except (ConnectionError, TimeoutError, msgspec.DecodeError) as error:
            self._node.forgive()
            log.warning("link broken", extra=fields(proxy=proxy.proxy_id, error=repr(error)))
        finally:
            self._open.discard(proxy)
            if proxy.proxy_id not in self.proxies():
                self._lost_at[proxy.proxy_id] = self._node.now()
            self._node.moves.link_closed(proxy.say)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await socket.close()
            log.info("link closed", extra=fields(proxy=proxy.proxy_id))
        return socket

    async def _answer(self, socket: web.WebSocketResponse, proxy: ProxyLink) -> None:
        heard_at = self._node.now()
        async for message in socket:
            silence, heard_at = self._node.now() - heard_at, self._node.now()
            if silence > _SILENCE:
                log.warning("link was silent", extra=fields(seconds=round(silence, 1)))
                self._node.forgive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                request = link.decode_at_node(message.data)
                if isinstance(request, link.Ping):
                    proxy.say(self._status(request.sequence))
                elif isinstance(request, link.Detach):
                    self._node.moves.detach(request.sessions, proxy.say)
                else:
                    self._node.moves.drop(request.sessions)

    def _status(self, sequence: int) -> link.Status:
        return link.Status(sequence, self._node.state, len(self._node.connections))

    def _tell(self) -> None:
        for proxy in self._open:
            proxy.say(self._status(0))

    async def close(self) -> None:
        """Close every link."""
        await asyncio.gather(*(proxy.close() for proxy in self._open))
