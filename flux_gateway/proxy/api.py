"""The server API on a proxy's admin port: `POST /api/<method>` goes on to a node, whichever is well.

So whoever publishes needs to know no node. The key is judged by the node; the proxy has none.
"""

import logging
from collections.abc import Iterator

import aiohttp
from aiohttp import web
from yarl import URL

from flux_gateway.proxy.nodes import Node
from flux_gateway.proxy.router import Router
from flux_gateway.runtime.admin import json_response
from flux_gateway.runtime.logging import fields

log = logging.getLogger(__name__)

PREFIX = "/api/"

_DEADLINE = aiohttp.ClientTimeout(total=10.0, connect=1.0)
"""Seconds for a node to answer, and to be connected to."""

_TO_NODE = ("X-API-Key", "Authorization", "Content-Type", "X-Centrifugo-Error-Mode")
"""Headers of the request that the node gets."""

_NOT_REACHED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""The request has not been sent, so that another node can carry it out."""


class Api:
    """Passes requests on, to one node after another in turn. Close it."""

    def __init__(self, router: Router, source: str) -> None:
        """`source`: own address to connect from; empty for any. Needs a running loop."""
        self._router = router
        self._turn = 0
        connector = aiohttp.TCPConnector(local_addr=(source, 0) if source else None, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=_DEADLINE, skip_auto_headers=("Content-Type", "Accept-Encoding")
        )

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for the admin server: exempt `PREFIX` from the token."""
        return [web.post(PREFIX + "{method}", self._forward)]

    async def close(self) -> None:
        """Close the connections to the nodes."""
        await self._session.close()

    async def _forward(self, request: web.Request) -> web.Response:
        body = await request.read()  # at most 1 MiB: aiohttp's own limit answers 413
        headers = {name: request.headers[name] for name in _TO_NODE if name in request.headers}
        for node in self._nodes():
            url = URL.build(
                scheme="http", host=node.record.host, port=node.record.admin_port,
                path=request.rel_url.raw_path, query_string=request.rel_url.raw_query_string, encoded=True,
            )  # fmt: skip
            try:
                async with self._session.post(url, data=body, headers=headers) as got:
                    answer = web.Response(body=await got.read(), status=got.status)
                    if "Content-Type" in got.headers:
                        answer.headers["Content-Type"] = got.headers["Content-Type"]
                    return answer
            except _NOT_REACHED as error:
                log.warning("node not reached for the API", extra=fields(node=node.id, error=error))
            except TimeoutError:
                return json_response({"error": f"{node.id} did not answer within {_DEADLINE.total:g} s"}, 504)
            except (aiohttp.ClientError, OSError) as error:
                # It may have carried the request out.
                return json_response({"error": f"{node.id} did not answer: {error or type(error).__name__}"}, 502)
        return json_response({"error": "no node can be reached now; see `flux status`"}, 503)

    def _nodes(self) -> Iterator[Node]:
        nodes = self._router.usable()
        self._turn += 1
        for number in range(len(nodes)):
            yield nodes[(self._turn + number) % len(nodes)]
