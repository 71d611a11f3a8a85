"""A move under a test's eyes: one session between two scripted nodes, the steps of its way, and what can go wrong."""


import itertools
import socket
import struct

import psutil

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.slots import Slots, slot_of
from tests.integration.gateway.proxy_side import QUIET
from tests.integration.gateway.wire import CLOSE, Wire, frame
from tests.integration.proxy.holdings import Keeper
from tests.integration.proxy.scripted_node import ScriptedNode
from tests.integration.proxy.scripted_seat import reset
from tests.processes import PORT, Process, Stack, until, usable

DIAL, MOVE = 1.0, 3.0
"""Seconds that a node gets to take a session, and that a whole move gets."""


class Table:
    """What all cases share: Redis, keeper, proxy and the real node."""

    def __init__(self, stack: Stack, redis: Process, kept: Keeper) -> None:
        self.stack, self.redis, self.keeper = stack, redis, kept
        self.other = stack.gateway(ping_interval=QUIET)
        self.proxy = stack.proxy(
            keeper=kept.path, link_interval=0.2, link_silence=1.5, snapshot_interval=0.1, dial_timeout=DIAL,
            move_timeout=MOVE, move_concurrency=1, dead_after=5,
        )  # fmt: skip
        self._numbers = itertools.count(1)

    def node(self) -> ScriptedNode:
        """Return a node that nobody has seen yet: an earlier one's bad record would count against it."""
        number = next(self._numbers)
        return ScriptedNode((self.stack.host(1, number + 10), PORT), f"scripted-{number}")


class Scene:
    """One session on its way from `source` to `target`."""

    def __init__(self, table: Table, source: ScriptedNode, target: ScriptedNode) -> None:
        self.table, self.proxy = table, table.proxy
        self.source, self.target, self.other = source, target, table.other
        for node in (source, target):
            node.register(table.stack)
        until(lambda: {source.id, target.id, self.other.name} <= set(usable(self.proxy)), "all nodes are usable")
        ranked = Slots({source.id: 1.0, target.id: 1.0, self.other.name: 1.0})
        wanted = (source.id, target.id, self.other.name)
        self._keys = (
            f"key-{number}" for number in itertools.count() if ranked.ranking(slot_of(b"key-%d" % number)) == wanted
        )
        self.blocker: Wire | None = None
        self.client, self.session = self._open()

    def _open(self) -> tuple[Wire, str]:
        before = self.source.sessions
        client = Wire(self.proxy.address)
        client.open(f"/echo?session={next(self._keys)}")
        client.echo(b"before")
        (session,) = self.source.sessions - before
        return client, session

    def open_blocker(self) -> str:
        """Move the scene's client behind another one, which takes the only place there is for moves."""
        self.blocker, blocking = self.client, self.session
        self.client, self.session = self._open()
        return blocking

    def begin(self) -> None:
        """The source drains."""
        self.source.enter(NodeState.DRAINING)

    def dialling(self) -> bool:
        """Whether the proxy waits for the target's TCP."""
        found = psutil.Process(self.proxy.pid).net_connections("tcp")
        return any(one.status == psutil.CONN_SYN_SENT and one.raddr == self.target.address for one in found)

    def moving(self) -> int:
        """Return how many moves there are in any stage."""
        return int(self.proxy.get("/rebalance")[1]["moving"])

    def places(self) -> list[str]:
        """Return where the session is, by the nodes' own account."""
        found = [name for name in ("source", "target") if self.session in getattr(self, name).sessions]
        return found + ["other"] * int(self.other.info()["connections"])

    def go_on(self) -> None:
        """Hold nothing any more."""
        if self.blocker is not None:
            self.blocker.socket.close()
            self.blocker = None
        self.source.go_on()
        self.target.go_on()


# The steps.


def asked(scene: Scene) -> None:
    """The source has been asked and has not answered."""
    scene.source.hold("asked")
    scene.begin()
    scene.source.wait("asked", scene.session)


def ready(scene: Scene) -> None:
    """The source has agreed, and another session has the only place for moves."""
    blocking = scene.open_blocker()
    scene.source.hold("barrier", blocking)
    scene.begin()
    scene.source.wait("barrier", blocking)
    scene.source.wait("asked", scene.session)
    until(lambda: scene.moving() == 2, "both are asked for")


def barrier(scene: Scene) -> None:
    """The proxy has half-closed, the source has not handed over."""
    scene.source.hold("barrier")
    scene.begin()
    scene.source.wait("barrier")


def released(scene: Scene) -> None:
    """The source has handed over and keeps the old stream open; the target is being dialled."""
    scene.source.hold("released")
    scene.target.fill()
    scene.begin()
    scene.source.wait("released")
    until(scene.dialling, "the target is dialled")


def dialling(scene: Scene) -> None:
    """The old stream has ended, the target is being dialled."""
    scene.target.fill()
    scene.begin()
    scene.source.wait("released")
    until(scene.dialling, "the target is dialled")


def unanswered(scene: Scene) -> None:
    """The target has ticket and state, and has not answered."""
    scene.target.hold("attach")
    scene.begin()
    scene.target.wait("attach")


def early(scene: Scene) -> None:
    """The target has the session, the old stream has not ended."""
    scene.source.hold("released")
    scene.begin()
    scene.source.wait("released")
    scene.target.wait("attached")


def resumed(scene: Scene) -> None:
    """The session goes on at the target."""
    scene.begin()
    scene.target.wait("attached")
    until(lambda: scene.proxy.info()["nodes"][scene.target.id]["connections"] == 1, "the session goes on")


# The faults.


def client_closes(scene: Scene) -> None:
    """By a close frame."""
    scene.client.send(frame(CLOSE, struct.pack("!H", 1000)))


def client_ends(scene: Scene) -> None:
    """By a FIN alone."""
    scene.client.socket.shutdown(socket.SHUT_WR)


def client_resets(scene: Scene) -> None:
    """By a RST."""
    reset(scene.client.socket)


def target_dies(scene: Scene) -> None:
    """All its connections, also the link, are gone, and it accepts no more."""
    scene.target.die()


def target_refuses(scene: Scene) -> None:
    """It answers 503, as a node that is full."""
    scene.target.refusing = True


def target_drains(scene: Scene) -> None:
    """A second drain."""
    scene.target.enter(NodeState.DRAINING)


def target_link_breaks(scene: Scene) -> None:
    """And does not come back."""
    scene.target.linkable = False
    scene.target.cut_links()
    until(lambda: scene.target.id not in usable(scene.proxy), "the proxy has noticed")


def source_dies_by_reset(scene: Scene) -> None:
    """Its kernel had something unread."""
    scene.source.die()


def source_dies_by_end(scene: Scene) -> None:
    """Its kernel had nothing unread."""
    scene.source.die(with_reset=False)


def source_link_breaks(scene: Scene) -> None:
    """And comes back at once."""
    before = scene.source.links_seen
    scene.source.cut_links()
    until(lambda: scene.source.links_seen > before, "the proxy has opened another one")


def redis_gone(scene: Scene) -> None:
    """And comes back empty when all is over."""
    scene.table.redis.end()
    until(lambda: not scene.proxy.info()["registry_reachable"], "the proxy has noticed")


def time_passes(scene: Scene) -> None:
    """Nobody does anything until the proxy has given up waiting."""
    given_up = _given_up(scene)
    until(lambda: _given_up(scene) > given_up, "the proxy has given up", 8)


def _given_up(scene: Scene) -> float:
    """Return how often the proxy has stopped waiting: for an answer, for a barrier, for a dial; or for the old stream,
    before which nothing else counts."""
    failed = scene.proxy.metric("flux_proxy_moves_failed_total")
    if scene.source.holds("released"):
        return failed
    reattached = scene.proxy.metric("flux_proxy_sessions_moved_total", reason="reattach")
    names = ("moves_refused_total", "node_dial_failures_total")
    return failed + reattached + sum(scene.proxy.metric(f"flux_proxy_{name}") for name in names)
