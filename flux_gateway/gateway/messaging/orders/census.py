"""What a node says of itself when it is asked: its figures, and who is in which channel here."""

from collections.abc import Callable

import msgspec

from flux_gateway import __version__
from flux_gateway.gateway.messaging.api.patterns import compiled
from flux_gateway.gateway.messaging.endpoint import Messaging
from flux_gateway.runtime.figures import ProcessFigures


class ProcessState(msgspec.Struct, frozen=True):
    """The process: percent of one core since it was asked last, and bytes of resident memory."""

    cpu: float = 0.0
    rss: int = 0


class NodeState(msgspec.Struct, frozen=True):
    """One node, with the names of the HTTP API. `uptime` in seconds."""

    uid: str
    name: str
    version: str = ""
    num_clients: int = 0
    num_users: int = 0
    num_subs: int = 0
    num_channels: int = 0
    uptime: int = 0
    process: ProcessState = ProcessState()


class Census:
    """Counts on this node."""

    def __init__(self, endpoint: Messaging, started_at: float) -> None:
        """`started_at` in unix seconds."""
        self._endpoint, self._started_at = endpoint, started_at
        self._figures = ProcessFigures()
        self._questions: dict[str, Callable[[str], bytes]] = {
            "info": lambda _: msgspec.msgpack.encode(self.node()),
            "channels": lambda pattern: msgspec.msgpack.encode(self.channels(pattern)),
        }

    def answer(self, what: str, pattern: str) -> bytes:
        """Return the answer to a question as MessagePack; nothing to one that a newer node may have."""
        question = self._questions.get(what)
        return question(pattern) if question is not None else b""

    def node(self) -> NodeState:
        """Return this node's figures."""
        parts = self._endpoint.parts
        present = [client for client in self._endpoint.clients if client.present]
        return NodeState(
            uid=parts.node_id,
            name=parts.node_id,
            version=__version__,
            num_clients=len(present),
            num_users=len({client.user for client in present}),
            num_subs=sum(len(client.subscriptions) for client in present),
            num_channels=len(parts.hub.channels),
            uptime=max(0, int(parts.wall_clock() - self._started_at)),
            process=ProcessState(round(self._figures.cpu_percent("api"), 2), self._figures.rss()),
        )

    def channels(self, pattern: str) -> dict[str, int]:
        """Return the clients in each channel that is heard here and fits. Raises `ClientError` for a bad pattern."""
        fits = compiled(pattern)
        return {
            name: len(channel.joining) + len(channel.ahead) + sum(map(len, channel.members.values()))
            for name, channel in self._endpoint.parts.hub.channels.items()
            if fits(name)
        }
