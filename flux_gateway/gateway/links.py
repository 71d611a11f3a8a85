"""The node's end of the links: one WebSocket per proxy on the admin port (design, section 6)."""

import asyncio
import logging

import msgspec
from aiohttp import WSMsgType, web

from flux_gateway.core import link
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.gateway.node import Node
from flux_gateway.runtime.admin import authorised, json_response
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

_SILENCE = 2.9
"""Seconds without a ping, sent once a second, after which this node has been cut off."""

_PATIENCE = 10.0
"""Seconds without a ping after which a proxy's link is given up."""


class Links:
    """Answers pings of proxies, and tells every proxy at once when the state changes."""

    def __init__(self, node: Node, token: str) -> None:
        self._node, self._token = node, token
        self._open: dict[web.WebSocketResponse, str] = {}
        self._tellers: set[asyncio.Task[None]] = set()
        node.on_change(self._tell)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Handle `GET /link?proxy=ID`, for as long as the proxy keeps it open."""
        if not authorised(request, self._token):
            return json_response({"error": "the link needs the cluster token"}, 401)
        socket = web.WebSocketResponse(max_msg_size=65_536, compress=False, receive_timeout=_PATIENCE)
        await socket.prepare(request)
        proxy_id = request.query.get("proxy", str(request.remote))
        self._open[socket] = proxy_id
        log.info("link open", extra=fields(proxy=proxy_id))
        try:
            await socket.send_bytes(self._status(0))
            await self._answer(socket)
        except (ConnectionError, TimeoutError, msgspec.DecodeError) as error:
            self._node.forgive()
            log.warning("link broken", extra=fields(proxy=proxy_id, error=repr(error)))
        finally:
            del self._open[socket]
            await socket.close()
            log.info("link closed", extra=fields(proxy=proxy_id))
        return socket

    async def _answer(self, socket: web.WebSocketResponse) -> None:
        heard_at = self._node.now()
        async for message in socket:
            silence, heard_at = self._node.now() - heard_at, self._node.now()
            if silence > _SILENCE:
                log.warning("link was silent", extra=fields(seconds=round(silence, 1)))
                self._node.forgive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                request = link.decode(message.data)
                if isinstance(request, link.Ping):
                    await socket.send_bytes(self._status(request.sequence))

    def _status(self, sequence: int) -> bytes:
        return link.encode(link.Status(sequence, self._node.state, len(self._node.connections)))

    def _tell(self, before: NodeState, after: NodeState, detail: str) -> None:
        status = self._status(0)
        for socket in self._open:
            task = asyncio.create_task(self._send(socket, status), name="link-status")
            self._tellers.add(task)
            task.add_done_callback(self._tellers.discard)

    @staticmethod
    async def _send(socket: web.WebSocketResponse, status: bytes) -> None:
        try:
            await socket.send_bytes(status)
        except ConnectionError:
            log.debug("link closed while the state was told")

    async def close(self) -> None:
        """Close every link."""
        await asyncio.gather(*self._tellers, return_exceptions=True)
        for socket in list(self._open):
            await socket.close()
