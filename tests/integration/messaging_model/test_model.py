"""Whatever happens, in whatever order: subscribers see each publication once and in order.

A model of random steps on three real nodes and a real Redis. Longer runs: MODEL_EXAMPLES=100 MODEL_STEPS=30.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.integration.messaging_model.client import SdkClient
from tests.integration.messaging_model.scene import Scene
from tests.integration.messaging_model.world import World

CHANNELS = ("whole:a", "whole:b", "short:a", "plain", "other")
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "5"))
STEPS = int(os.environ.get("MODEL_STEPS", "14"))

MOST_CLIENTS = 5

class Planned(RuleBasedStateMachine):
    """Clients come and go, talk, and are moved."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(self.world)
        self.world.run(self.scene.begin())

    def client(self, number: int) -> SdkClient:
        """Return one of those who are there."""
        present = self.scene.present()
        return present[number % len(present)]

    @initialize(others=st.lists(st.sampled_from(["json", "protobuf"]), max_size=2))
    def first(self, others: list[str]) -> None:
        """Some are there from the start, in the same channels."""
        for number, encoding in enumerate(("json", "protobuf", *others)):
            self.world.run(self.scene.come(encoding, number))
        for client in self.scene.present():
            for kind in ("whole:a", "plain"):
                self.world.loop.call_soon_threadsafe(client.subscribe, self.scene.channel(kind))

    @precondition(lambda self: len(self.scene.present()) < MOST_CLIENTS)
    @rule(encoding=st.sampled_from(["json", "protobuf"]), node=st.integers(0, 2))
    def come(self, encoding: str, node: int) -> None:
        """One more client."""
        self.world.run(self.scene.come(encoding, node))

    @precondition(lambda self: len(self.scene.present()) > 1)
    @rule(number=st.integers(0, MOST_CLIENTS))
    def leave(self, number: int) -> None:
        """One client less."""
        self.world.run(self.client(number).leave())

    @rule(number=st.integers(0, MOST_CLIENTS), kind=st.sampled_from(CHANNELS))
    def subscribe(self, number: int, kind: str) -> None:
        """Want a channel; do not wait for it."""
        self.world.loop.call_soon_threadsafe(self.client(number).subscribe, self.scene.channel(kind))

    @rule(number=st.integers(0, MOST_CLIENTS), pick=st.integers(0, len(CHANNELS)))
    def unsubscribe(self, number: int, pick: int) -> None:
        """Want a channel no more."""
        client = self.client(number)
        if client.subscriptions:
            names = sorted(client.subscriptions)
            self.world.run(client.unsubscribe(names[pick % len(names)]))

    @rule(
        kind=st.sampled_from(CHANNELS), by=st.none() | st.integers(0, MOST_CLIENTS), count=st.integers(1, 60),
        pause=st.sampled_from([0.0, 0.001, 0.01]),
    )  # fmt: skip
    def publish(self, kind: str, by: int | None, count: int, pause: float) -> None:
        """Publish while the next steps are taken."""
        publisher = None if by is None else self.client(by)
        self.world.loop.call_soon_threadsafe(self.scene.publish, self.scene.channel(kind), publisher, count, pause)

    @rule(moves=st.dictionaries(st.integers(0, MOST_CLIENTS - 1), st.integers(0, 1), min_size=1))
    def move(self, moves: dict[int, int]) -> None:
        """Move some sessions at once."""
        present = self.scene.present()
        chosen = {number: step for number, step in moves.items() if number < len(present)}
        self.world.run(self.scene.move([present[number] for number in chosen], list(chosen.values())))

    def teardown(self) -> None:
        """Judge what has come of it."""
        try:
            self.world.run(self.scene.finish())
        finally:
            self.world.run(self.scene.close())
            tracebacks = self.world.tracebacks()
        assert tracebacks == []


class Broken(Planned):
    """And nodes and Redis fail."""

    @rule(number=st.integers(0, 2))
    def crash(self, number: int) -> None:
        """A node is killed."""
        self.world.run(self.scene.crash(number))

    @rule(number=st.integers(0, 2), seconds=st.sampled_from([0.0, 0.3, 1.5]), drop_first=st.booleans())
    def overtake(self, number: int, seconds: float, drop_first: bool) -> None:
        """A node stands still and is taken for dead."""
        self.world.run(self.scene.overtake(number, seconds, drop_first))

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.5, 3.0]))
    def pause_redis(self, seconds: float) -> None:
        """Redis stands still."""
        self.world.run(self.scene.pause_redis(seconds))

    @rule(seconds=st.sampled_from([0.5, 1.5, 3.0]))
    def begin_pause(self, seconds: float) -> None:
        """Redis stands still while the next steps are taken."""
        self.world.loop.call_soon_threadsafe(self.scene.begin_pause, seconds)

    @rule(wiped=st.booleans())
    def restart_redis(self, wiped: bool) -> None:
        """Redis starts again."""
        self.world.run(self.scene.restart_redis(wiped))

    @rule()
    def wipe_redis(self) -> None:
        """Redis loses its data."""
        self.world.run(self.scene.wipe_redis())


def _run(machine: type[Planned], world: World, examples: int) -> None:
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"world": world}),
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None, print_blob=True,
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
            # Real processes do not do the same thing twice: there is nothing to shrink.
            phases=[Phase.generate],
        ),
    )  # fmt: skip


@pytest.mark.timeout(60 + 60 * EXAMPLES)
def test_planned_moves_lose_nothing(world: World) -> None:
    _run(Planned, world, 3 * EXAMPLES)


@pytest.mark.timeout(60 + 120 * EXAMPLES)
def test_failures_lose_nothing_that_is_kept(world: World) -> None:
    _run(Broken, world, EXAMPLES)
