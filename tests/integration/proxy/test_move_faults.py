"""Moves that something goes wrong with: every step of a move, times every fault (issue 4).

Two scripted nodes, `source` and `target`, and a real one, `other`, that ranks behind them. One session is on its way
from source to target and is held at a step; then the fault comes; then everything goes on as far as it still can. After
that the session is at exactly one node and answers, or its client was closed as the table says, and nothing of it is
left anywhere: no socket, no move, no entry of the keeper, no second copy.
"""

import struct
from collections.abc import Callable, Iterator

import psutil
import pytest

from flux_gateway.core.frames import encode_close, encode_frame
from tests.integration.gateway.wire import BINARY, TEXT, close_all, frame
from tests.integration.proxy.holdings import NOTHING, Holdings, holdings, keeper, wait_for_holdings
from tests.integration.proxy.move_scene import (
    DIAL,
    MOVE,
    Scene,
    Table,
    asked,
    barrier,
    client_closes,
    client_ends,
    client_resets,
    dialling,
    early,
    ready,
    redis_gone,
    released,
    resumed,
    source_dies_by_end,
    source_dies_by_reset,
    source_link_breaks,
    target_dies,
    target_drains,
    target_link_breaks,
    target_refuses,
    time_passes,
    unanswered,
)
from tests.processes import Stack, until


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """The shared processes. In the end the proxy has as many open files as in the beginning."""
    folder = tmp_path_factory.mktemp("faults")
    with keeper(folder) as kept, Stack(folder) as stack:
        table = Table(stack, stack.redis(), kept)
        process = psutil.Process(table.proxy.pid)
        before = process.num_fds()
        yield table
        # Links that are being tried once more, and connections to Redis, come and go.
        until(lambda: process.num_fds() <= before + 2, "the proxy has let go of every file", 15)
        assert "Traceback" not in table.proxy.said()


Step = Callable[[Scene], None]

STEPS: list[Step] = [asked, ready, barrier, released, dialling, unanswered, early, resumed]

TABLE: dict[Step, str] = {
    # By step:               asked   ready   barrier released dialling unanswered early resumed
    client_closes:          "1000    1000    1000    1000    1000    1000    1000    1000",
    client_ends:            "ended   ended   ended   ended   ended   ended   ended   ended",
    client_resets:          "gone    gone    gone    gone    gone    gone    gone    gone",
    target_dies:            "other   other   other   other   other   other   other   other",
    target_refuses:         "other   other   other   other   other   other   target  target",
    target_drains:          "other   other   other   other   other   other   other   other",
    target_link_breaks:     "other   other   other   either  either  target  target  target",
    source_dies_by_reset:   "target  target  target  either  either  target  target  target",
    source_dies_by_end:     "target  target  target  either  either  target  target  target",
    source_link_breaks:     "target  target  target  either  either  target  target  target",
    redis_gone:             "target  target  target  either  either  target  target  target",
    time_passes:            "target  -       target  1012    other   other   1012    -",
}  # fmt: skip
"""Where the session ends up: at a node, or its client with a close code, or `ended` without one by its own wish, or
`gone` itself. `either`: target or other, as the target's TCP accepts in time or not. `-`: nothing waits there."""

CASES = [
    pytest.param(step, fault, expected, id=f"{step.__name__}-{fault.__name__}")
    for fault, row in TABLE.items()
    for step, expected in zip(STEPS, row.split(), strict=True)
    if expected != "-"
]


@pytest.fixture
def scene(table: Table) -> Iterator[Scene]:
    """A session that is about to move; when the test is over, nothing is left."""
    with table.node() as source, table.node() as target:
        scene = Scene(table, source, target)
        yield scene
        if not table.redis.running:
            table.redis.restart()
            until(lambda: table.proxy.info()["registry_reachable"], "Redis is back")
        close_all()
        for node in (source, target):
            node.unregister(table.stack)
    until(lambda: source.id not in table.proxy.info()["nodes"], "the nodes are forgotten")


@pytest.mark.parametrize(("step", "fault", "expected"), CASES)
def test_a_fault_at_a_step(scene: Scene, step: Step, fault: Step, expected: str) -> None:
    table, client = scene.table, scene.client
    assert holdings(scene.proxy) == Holdings(1, 1, 1, 0, 0)
    step(scene)
    client = scene.client
    fault(scene)
    scene.go_on()
    if expected in ("source", "target", "other", "either"):
        # Nothing but time itself costs the client a whole deadline.
        assert client.echo(b"after") < MOVE - DIAL or fault is time_passes
        client.echo(b"and again")
        allowed = [["target"], ["other"]] if expected == "either" else [[expected]]
        until(lambda: scene.places() in allowed, f"it is at {allowed}")
        until(lambda: scene.moving() == 0, "no move is left")
        wait_for_holdings(Holdings(1, 1, 1, 0, 1), scene.proxy, table.keeper)
        client.echo(b"and still")
    elif expected == "1000":
        assert client.read().payload == struct.pack("!H", 1000)
        assert list(client.frames()) == []
    elif expected == "ended":
        assert list(client.frames()) == []
    elif expected != "gone":
        assert client.closed() == (int(expected), "node lost, connect again")
    client.socket.close()
    until(lambda: scene.places() == [], "no node has a copy")
    wait_for_holdings(NOTHING, scene.proxy, table.keeper)


@pytest.mark.parametrize(
    ("step", "fault", "code"),
    [(asked, source_dies_by_end, 1012), (barrier, source_dies_by_end, 1012), (barrier, time_passes, 1012),
     (released, source_dies_by_end, 0), (barrier, redis_gone, 0), (early, target_dies, 0)],
)  # fmt: skip
def test_half_a_message_is_on_its_way(scene: Scene, step: Step, fault: Step, code: int) -> None:
    """Once the source has handed it over, it is as safe as the session; before that it dies with the source."""
    message = frame(BINARY, b"in two pieces")
    scene.client.send(message[:10])
    until(lambda: scene.source.unread(scene.session) == 10, "it has reached the source")
    step(scene)
    fault(scene)
    scene.go_on()
    if code:
        assert scene.client.closed() == (code, "node lost, connect again")
    else:
        scene.client.send(message[10:])
        assert scene.client.read().payload == b"in two pieces"
        scene.client.echo(b"after")
    scene.client.socket.close()
    until(lambda: scene.places() == [], "no node has a copy")
    wait_for_holdings(NOTHING, scene.proxy, scene.table.keeper)


def test_a_session_that_cannot_leave_stays_and_is_asked_for_again(scene: Scene) -> None:
    """Its client notices nothing of being asked for."""
    scene.source.unwilling = "slow client"
    scene.begin()
    refused = "flux_proxy_moves_refused_total"
    until(lambda: scene.proxy.metric(refused, cause="slow client") > 0, "it was refused")
    scene.client.echo(b"meanwhile")
    assert (scene.places(), scene.moving()) == (["source"], 0)
    scene.source.unwilling = ""
    until(lambda: scene.places() == ["target"], "it was asked for again")
    scene.client.echo(b"after")


@pytest.mark.parametrize("half", [False, True])
def test_a_session_that_is_refused_at_its_barrier_is_closed(scene: Scene, half: bool) -> None:
    """There is no way back then: the node takes the end of the stream for the client's."""
    barrier(scene)
    if half:
        scene.source.say(scene.session, b"\x81\x05hi")
        assert scene.client.take(4) == b"\x81\x05hi"
    scene.source.unwilling = "message too large to carry"
    scene.go_on()
    assert scene.client.closed()[0] == (1006 if half else 1012)
    scene.client.socket.close()
    wait_for_holdings(NOTHING, scene.proxy, scene.table.keeper)


def test_a_close_of_the_node_at_the_barrier_is_the_last_word(scene: Scene) -> None:
    barrier(scene)
    scene.source.say(scene.session, encode_close(1008, "slow client"))
    scene.source.end(scene.session, with_reset=False)
    assert scene.client.closed() == (1008, "slow client")
    scene.client.socket.close()
    wait_for_holdings(NOTHING, scene.proxy, scene.table.keeper)


def test_what_the_target_says_comes_after_the_last_word_of_the_source(scene: Scene) -> None:
    early(scene)
    scene.target.say(scene.session, encode_frame(TEXT, b"new"))
    scene.source.say(scene.session, encode_frame(TEXT, b"old"))
    assert scene.client.read().payload == b"old"
    scene.source.say(scene.session, encode_frame(TEXT, b"and older"))
    scene.go_on()
    assert [scene.client.read().payload for _ in range(2)] == [b"and older", b"new"]
    scene.client.echo(b"after")


def test_what_the_client_says_meanwhile_comes_after_what_it_said_before(scene: Scene) -> None:
    """Half a message travels with the session, the other half waits with the proxy."""
    message = frame(BINARY, b"first half, second half")
    scene.client.send(message[:17])
    until(lambda: scene.source.unread(scene.session) == 17, "it has reached the source")
    unanswered(scene)
    scene.client.send(message[17:] + frame(BINARY, b"next"))
    scene.go_on()
    assert [scene.client.read().payload for _ in range(2)] == [b"first half, second half", b"next"]
    until(lambda: scene.places() == ["target"], "it has moved")
