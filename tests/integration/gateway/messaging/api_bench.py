"""Two nodes in this process, with a real Redis between them, clients of theirs, and a back end with its key."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import aiohttp
import jwt
from cent import AsyncClient

from flux_gateway.broker.broker import Broker
from flux_gateway.core.frozen import Frozen
from flux_gateway.core.lifecycle import NodeState
from flux_gateway.gateway.connection import Connection
from flux_gateway.gateway.messaging.api import api
from flux_gateway.gateway.messaging.client import Client
from flux_gateway.gateway.messaging.composition import MessagingPart
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.gateway.node import Node
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.registry.connect import RedisSettings, connect
from flux_gateway.runtime import admin
from flux_gateway.runtime.loop_watch import LoopWatch
from tests.processes import ADMIN_PORT, PORT, REDIS_PORT, TOKEN, Stack
from tests.unit.runtime.test_admin import Metrics, Source

KEY = "key-of-the-back-end-0123456789"
SECRET = "secret-of-the-tokens-0123456789-abcdef"
PATIENCE = 5.0
"""Seconds for anything to arrive."""


class Server:
    """One node with its admin server."""

    def __init__(self, stack: Stack, number: int, settings: MessagingSettings) -> None:
        self.host = stack.host(1, number)
        node_settings = GatewaySettings(id=f"gateway-{number}", host=self.host, port=PORT, admin_port=ADMIN_PORT)
        self.node = Node(node_settings)
        redis = RedisSettings(host=stack.host(3, 1), port=REDIS_PORT)
        self.broker = Broker(connect(redis), timeout=2.0, node_id=node_settings.id)
        self.part = MessagingPart(self.node, settings, self.broker)
        self.watch = LoopWatch()
        application = admin.build(Source(), self.watch, Metrics(), TOKEN, own_key=api.PREFIX)
        application.add_routes(self.part.routes)
        self._admin = admin.AdminServer(application, self.host, ADMIN_PORT)

    @property
    def api(self) -> str:
        """Where the API is."""
        return f"http://{self.host}:{ADMIN_PORT}/api"

    def client(self, user: "User") -> Client:
        """Return the node's side of a client."""
        (client,) = (one for one in self.part.endpoint.clients if one.id == user.id)
        return client

    async def start(self) -> None:
        """Listen on both ports."""
        await self.part.start()
        await self.node.listen()
        await self._admin.start()
        self.node.enter(NodeState.UP)

    async def stop(self) -> None:
        """End it."""
        await self._admin.stop()
        await self.node.close()
        await self.part.close()
        self.watch.stop()


class User:
    """A client of a node that speaks JSON; what the server pushes waits in `pushes`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())
        self.pushes: asyncio.Queue[Any] = asyncio.Queue()
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.id = ""

    async def _read(self) -> None:
        async for message in self._socket:
            for line in message.data.splitlines():
                said = json.loads(line)
                if "id" in said:
                    self._replies.pop(said["id"]).set_result(said)
                elif "push" in said:
                    self.pushes.put_nowait(said["push"] | {"raw": line})
        self.closed.set_result(self._socket.close_code)

    async def ask(self, name: str, **fields: Any) -> Any:
        """Send a command and return its reply."""
        self._number += 1
        reply = self._replies[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(json.dumps({"id": self._number, name: fields}))
        said = await asyncio.wait_for(reply, PATIENCE)
        assert "error" not in said, said
        return said

    async def push(self) -> Any:
        """Return the next push."""
        return await asyncio.wait_for(self.pushes.get(), PATIENCE)

    async def end(self) -> int | None:
        """Return the close code."""
        return await asyncio.wait_for(asyncio.shield(self.closed), PATIENCE)

    async def close(self) -> None:
        """Leave."""
        await self._socket.close()
        await self._reader


class Way:
    """A client on its way from one node to another: the node's part of a move. Its socket stays where it is."""

    def __init__(self, start: Server, user: User, *, killed: bool = False) -> None:
        """`killed`: the node says nothing any more; what is known of the client is its session record."""
        client = start.client(user)
        assert not client.busy
        self._connection: Connection = client.connection
        session = client.connection.session
        application = b""
        if killed:
            client.dropped()
        else:
            application = client.freeze()
        self.session = session.id
        self._kept = Frozen(
            session=session.id, path=session.path, connected_at=session.connected_at, moves=session.moves,
            extensions="", application=application,
        )  # fmt: skip

    def end(self, there: Server) -> None:
        """It arrives."""
        endpoint, session = there.part.endpoint, self._connection.session
        session.application = session._endpoint = endpoint.thaw(self._kept)
        session.fence += 1
        endpoint.started(self._connection)


class Bench:
    """What a test works with."""

    def __init__(self, servers: list[Server], session: aiohttp.ClientSession) -> None:
        self.servers = servers
        self.session = session
        self._users: list[User] = []
        self.cent = AsyncClient(servers[0].api, KEY)

    async def user(self, name: str = "ann", node: int = 0, **claims: Any) -> User:
        """Connect a client of this user."""
        server = self.servers[node]
        user = User(await self.session.ws_connect(f"ws://{server.host}:{PORT}/connection/websocket"))
        self._users.append(user)
        token = jwt.encode({"sub": name, **claims}, SECRET) if name else ""
        user.id = (await user.ask("connect", token=token))["connect"]["client"]
        return user

    async def call(
        self, method: str, body: Any = None, *, node: int = 0, verb: str = "POST", **headers: str
    ) -> tuple[int, Any]:
        """Call the API with the key: status, and the answer's JSON, or its bytes if it is none."""
        named = {"X-API-Key": KEY} | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(f"{self.servers[node].api}/{method}", body if body is not None else {}, named, verb)

    async def ask(self, url: str, body: Any, headers: dict[str, str], verb: str = "POST") -> tuple[int, Any]:
        """Call any address."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.request(verb, url, data=io.BytesIO(data), headers=headers) as answer:
            text = await answer.read()
            return answer.status, json.loads(text) if text[:1] == b"{" else text

    async def result(self, method: str, body: Any = None, *, node: int = 0) -> Any:
        """Call the API and return the result."""
        status, answer = await self.call(method, body, node=node)
        assert (status, list(answer)) == (200, ["result"]), answer
        return answer["result"]

    async def error(self, method: str, body: Any = None) -> int:
        """Call the API and return the error code."""
        status, answer = await self.call(method, body)
        assert (status, list(answer)) == (200, ["error"]), answer
        assert answer["error"]["message"]
        return int(answer["error"]["code"])

    async def close(self) -> None:
        """End clients and back end."""
        for user in self._users:
            await user.close()
        await self.cent._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@contextlib.asynccontextmanager
async def running(stack: Stack, nodes: int, key: str, **more: Any) -> AsyncIterator[Bench]:
    """Nodes with a namespace `chat` that has everything, and `plain` channels that have nothing."""
    secret, key_file = stack.token_file.with_name("hmac"), stack.token_file.with_name("api-key")
    secret.write_text(SECRET)
    key_file.write_text(key)
    chat = Namespace(
        presence=True, history_size=10, history_ttl=60.0, force_recovery=True, force_positioning=True,
        allow_subscribe_for_client=True, allow_publish_for_client=True,
    )  # fmt: skip
    default = Namespace(allow_subscribe_for_client=True, allow_publish_for_client=True)
    values: dict[str, Any] = {
        "token_hmac_file": str(secret), "anonymous": True, "namespaces": {"chat": chat}, "default": default,
        "api_key_file": str(key_file) if key else "",
    }  # fmt: skip
    settings = MessagingSettings(**(values | more))
    servers = [Server(stack, number + 1, settings) for number in range(nodes)]
    try:
        for server in servers:
            await server.start()
        async with aiohttp.ClientSession() as session, Bench(servers, session) as bench:
            yield bench
    finally:
        for server in servers:
            await server.stop()


def run(
    stack: Stack, body: Callable[[Bench], Awaitable[None]], *, nodes: int = 1, key: str = KEY, **more: Any
) -> None:
    """Run a test with a Redis of its own stack."""

    async def main() -> None:
        async with running(stack, nodes, key, **more) as bench:
            await body(bench)

    asyncio.run(main())
