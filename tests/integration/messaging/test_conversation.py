"""The judge of conversations finds what it is there to find."""

from typing import Any

import pytest

from tests.integration.messaging.conversation import Conversation
from tests.sdk.client import SdkClient


class Heard(SdkClient):
    """A client that has heard what a test says."""

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        """Nothing to stop."""

    def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def hear(self, *messages: tuple[int, list[int]]) -> None:
        """Hear publications: offset, data."""
        for offset, data in messages:
            self.note({"event": "publication", "channel": "a", "offset": offset, "data": data})


GOOD = [(1, [0, 0]), (2, [1, 0]), (3, [0, 1])]


def talk(second: list[tuple[int, list[int]]], said: list[list[int]] | None = None) -> Conversation:
    clients = [Heard(), Heard()]
    made = Conversation(clients, "a")
    clients[0].hear(*GOOD)
    clients[1].hear(*second)
    made.said = [[0, 0], [1, 0], [0, 1]] if said is None else said
    return made


def test_a_good_one_passes() -> None:
    made = talk(GOOD)
    made.all_heard_all()
    made.offsets_have_no_hole()
    made.nobody_noticed()


@pytest.mark.parametrize("second", [GOOD[:2], [GOOD[0], GOOD[2], GOOD[1]], [*GOOD, GOOD[2]]])
def test_who_hears_otherwise_is_found(second: list[tuple[int, list[int]]]) -> None:
    with pytest.raises(AssertionError):
        talk(second).all_heard_all()


@pytest.mark.parametrize("said", [[[0, 0], [1, 0], [0, 1], [1, 1]], [[0, 0], [1, 0]]])
def test_what_is_missing_or_made_up_is_found(said: list[list[int]]) -> None:
    with pytest.raises(AssertionError):
        talk(GOOD, said).all_heard_all()


@pytest.mark.parametrize("second", [[GOOD[0], GOOD[2]], [GOOD[1], GOOD[0]], [GOOD[0], GOOD[0]]])
def test_a_hole_is_found(second: list[tuple[int, list[int]]]) -> None:
    with pytest.raises(AssertionError):
        talk(second).offsets_have_no_hole()


@pytest.mark.parametrize("name", ["connecting", "disconnected"])
def test_a_lost_connection_is_found(name: str) -> None:
    made = talk(GOOD)
    made.clients[1].note({"event": name, "code": 1, "reason": "transport closed"})
    with pytest.raises(AssertionError):
        made.nobody_noticed()
