"""A cluster of three nodes whose messaging the tests talk with: by the published SDKs, `cent`, and `flux`."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cent

from flux_gateway.core.slots import Slots, slot_of
from tests.cluster import FluxCluster, start
from tests.processes import until
from tests.sdk.client import SdkClient
from tests.sdk.javascript import JavaScriptClient
from tests.sdk.python import PythonClient
from tests.sdk.tokens import connect_token, subscribe_token

NODES = ["gateway-1", "gateway-2", "gateway-3"]

SDKS: dict[str, Callable[..., SdkClient]] = {"js": JavaScriptClient, "python": PythonClient}
KINDS = [(sdk, codec) for sdk in SDKS for codec in ("json", "protobuf")]
"""What every test of a client runs with: SDK, codec."""

_numbers = itertools.count(1)


def fresh(namespace: str = "") -> str:
    """Return the name of a channel that no test has used before."""
    return f"{namespace}:c{next(_numbers)}" if namespace else f"c{next(_numbers)}"


def user() -> str:
    """Return a user id that no test has used before."""
    return f"user-{next(_numbers)}"


def key_of(node: str) -> str:
    """Return an affinity key whose clients land on a node while all are up."""
    slots = Slots(dict.fromkeys(NODES, 1.0))
    return next(
        key for key in (f"key-{number}" for number in _numbers) if slots.ranking(slot_of(key.encode()))[0] == node
    )


class Scene:
    """The cluster and what is needed to talk with it."""

    def __init__(self, cluster: FluxCluster, network: int) -> None:
        self.cluster = cluster
        self.network = network
        self.url = f"{cluster.url}/connection/websocket"
        self.secret = (cluster.state_dir / "messaging.secret").read_text().strip()
        self.api_key = (cluster.state_dir / "api.key").read_text().strip()
        self.api_url = f"http://127.{network}.2.1:8081/api"
        self.api = cent.Client(self.api_url, self.api_key, timeout=12)
        self._open = ExitStack()

    def token(self, user: str, **claims: Any) -> str:
        """Return a token for a connection."""
        return connect_token(self.secret, user, **claims)

    def subscribe_token(self, user: str, channel: str, **claims: Any) -> str:
        """Return a token for a subscription."""
        return subscribe_token(self.secret, user, channel, **claims)

    def client(self, kind: tuple[str, str] = ("python", "json"), name: str = "", **options: Any) -> SdkClient:
        """Return a started client that has not connected yet; `close` stops it.

        `node` lets it land there. Without `tokens` it has one of the user called `name`, which never expires.
        """
        if not options.get("tokens"):
            options["tokens"] = [self.token(name or user())]
        url = self.url
        if "node" in options:
            url += f"?session={key_of(options.pop('node'))}"
        made = SDKS[kind[0]](url, protobuf=kind[1] == "protobuf", **options)
        return self._open.enter_context(made)

    def connected(self, kind: tuple[str, str] = ("python", "json"), name: str = "", **options: Any) -> SdkClient:
        """Return a client that is connected."""
        made = self.client(kind, name, **options)
        made.connect()
        return made

    def close(self) -> None:
        """Stop every client made since the last time."""
        self._open.close()
        self._open = ExitStack()

    def whole(self) -> None:
        """Wait until every node is UP, and the proxy sends clients there."""
        until(lambda: self.cluster.states() == dict.fromkeys(NODES, "UP"), "every node UP", 30)
        until(lambda: self.cluster.flux("verify", check=False).returncode == 0, "everything verified", 30)


@contextmanager
def running(state_dir: Path, network: int, *options: str) -> Iterator[Scene]:
    """Start a cluster, and end it."""
    cluster = start(state_dir, "--heartbeat-interval", "1", "--drain-timeout", "10", *options, network=network)
    scene = Scene(cluster, network)
    try:
        scene.whole()
        yield scene
    finally:
        scene.close()
        cluster.flux("down", "--drain", "1", "--purge", check=False)


def offsets(client: SdkClient, channel: str, *, after: int = 0) -> list[int]:
    """Return the offsets of the publications that a client has seen."""
    return [event["offset"] for event in client.seen("publication", after=after, channel=channel)]
