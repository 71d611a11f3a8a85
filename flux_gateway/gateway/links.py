"""The node's end of the links: one WebSocket per proxy on the admin port (design, section 6)."""

import asyncio
import logging

import msgspec
from aiohttp import WSMsgType, web

from flux_gateway.core import link
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.admin import authorised, json_response
from flux_gateway.runtime.logging import fields
from flux_gateway.runtime.spread import within

log = logging.getLogger(__name__)

_SILENCE = 2.9
"""Seconds without a ping, sent once a second, after which this node has been cut off."""

_PATIENCE = 10.0
"""Seconds without a ping after which a proxy's link is given up."""


_LAST_WORD = 0.5
"""Seconds at most to send what was said before a link is closed."""


class ProxyLink:
    """One proxy's link: what this node says goes out in order, by one task."""

    def __init__(self, proxy_id: str, socket: web.WebSocketResponse) -> None:
        self.proxy_id = proxy_id
        self._socket = socket
        self._waiting: list[link.ToProxy] = []
        self._news = asyncio.Event()
        self._said = asyncio.Event()
        """Set while nothing waits to be sent."""
        self._said.set()

    def say(self, message: link.ToProxy) -> None:
        """Send a message, after all that were given before it."""
        self._waiting.append(message)
        self._said.clear()
        self._news.set()

    async def write(self) -> None:
        """Send what is said until the link breaks."""
        while True:
            await self._news.wait()
            self._news.clear()
            messages, self._waiting = self._waiting, []
            for message in messages:
                try:
                    await self._socket.send_bytes(link.encode(message))
                except ConnectionError:
                    log.debug("link closed while something was said")  # the reading side notices too
                    return
            if not self._waiting:
                self._said.set()

    async def close(self) -> None:
        """Send what was said, then say goodbye."""
        await within(self._said, _LAST_WORD)
        await self._socket.close()


class Links:
    """Answers proxies, and tells every proxy at once when the state changes."""

    def __init__(self, node: Node, token: str) -> None:
        self._node, self._token = node, token
        self._open: set[ProxyLink] = set()
        node.on_change(lambda before, after, detail: self._tell())

    def proxies(self) -> frozenset[str]:
        """Return the ids of the proxies that have a link now: they can move the sessions that came through them."""
        return frozenset(one.proxy_id for one in self._open)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle `GET /link?proxy=ID`, for as long as the proxy keeps it open."""
        if not authorised(request, self._token):
            return json_response({"error": "the link needs the cluster token"}, 401)
        socket = web.WebSocketResponse(max_msg_size=link.OVERHEAD, compress=False, receive_timeout=_PATIENCE)
        await socket.prepare(request)
        proxy = ProxyLink(request.query.get("proxy", str(request.remote)), socket)
        self._open.add(proxy)
        log.info("link open", extra=fields(proxy=proxy.proxy_id))
        writing = asyncio.create_task(proxy.write(), name=f"link {proxy.proxy_id}")
        try:
            proxy.say(self._status(0))
            await self._answer(socket, proxy)
        except (ConnectionError, TimeoutError, msgspec.DecodeError) as error:
            self._node.forgive()
            log.warning("link broken", extra=fields(proxy=proxy.proxy_id, error=repr(error)))
        finally:
            self._open.discard(proxy)
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
