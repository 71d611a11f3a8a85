"""`core.lifecycle`: the transitions of a node, all of them."""

import itertools

import pytest

from flux_gateway.core.errors import FluxError
from flux_gateway.core.lifecycle import GONE, TAKES_SESSIONS, IllegalTransition, NodeState, advance

ALLOWED = {
    ("STARTING", "UP"), ("STARTING", "STOPPED"),
    ("UP", "DRAINING"), ("UP", "STOPPED"),
    ("DRAINING", "UP"), ("DRAINING", "STOPPED"),
}  # fmt: skip


@pytest.mark.parametrize(("current", "wanted"), list(itertools.product(NodeState, NodeState)))
def test_a_transition_is_taken_if_it_stands_in_the_table_and_refused_if_not(
    current: NodeState, wanted: NodeState
) -> None:
    if (current.value, wanted.value) in ALLOWED:
        assert advance(current, wanted) is wanted
    else:
        with pytest.raises(IllegalTransition, match=f"from {current} to {wanted}"):
            advance(current, wanted)


def test_a_refusal_is_one_of_the_project_s_errors() -> None:
    assert issubclass(IllegalTransition, FluxError)


def test_only_a_node_that_is_up_takes_sessions_and_only_stopped_and_dead_ones_are_gone() -> None:
    assert {state.value for state in TAKES_SESSIONS} == {"UP"}
    assert {state.value for state in GONE} == {"STOPPED", "DEAD"}
