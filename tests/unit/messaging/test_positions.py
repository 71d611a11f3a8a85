"""`messaging.positions`: who recovers, and from where it counts on (facts, section 9)."""

import pytest

from flux_gateway.messaging.positions import Position, Recovery, recover
from flux_gateway.messaging.publication import Publication


def entries(*offsets: int) -> list[Publication]:
    return [Publication(b"%d" % offset, offset) for offset in offsets]


def lost(top: int) -> Recovery:
    return Recovery(False, (), top)


@pytest.mark.parametrize("epoch", ["e", ""])
@pytest.mark.parametrize(
    ("held", "requested", "top"),
    [
        ([], 0, 0),  # nothing was ever published
        ([], 5, 5),  # nothing is missing, and nothing is held any more
        ([6], 5, 6),
        ([6, 7, 8], 5, 8),
        ([1, 2], 0, 2),
        ([4, 5, 6, 7], 5, 7),  # entries from before are passed over
    ],
)
def test_what_is_whole_is_recovered(held: list[int], requested: int, top: int, epoch: str) -> None:
    missed = tuple(entry for entry in entries(*held) if entry.offset > requested)
    verdict = recover(entries(*held), Position(requested, epoch), Position(top, "e"), 300)
    assert verdict == Recovery(True, missed, requested)


@pytest.mark.parametrize(
    ("held", "requested", "top"),
    [
        ([], 5, 6),  # it has expired
        ([7, 8], 5, 8),  # trimmed
        ([6, 7], 5, 8),  # not up to the top
        ([], 9, 5),  # the client knows more than the stream
    ],
)
def test_what_has_holes_is_not_recovered(held: list[int], requested: int, top: int) -> None:
    assert recover(entries(*held), Position(requested, "e"), Position(top, "e"), 300) == lost(top)


def test_another_stream_is_not_recovered() -> None:
    assert recover(entries(6), Position(5, "old"), Position(6, "e"), 300) == lost(6)
    assert recover([], Position(6, "old"), Position(6, "e"), 300) == lost(6)


def test_no_more_than_the_limit_is_recovered() -> None:
    assert recover(entries(*range(1, 301)), Position(0, "e"), Position(300, "e"), 300).recovered
    assert recover(entries(*range(1, 302)), Position(0, "e"), Position(301, "e"), 300) == lost(301)


@pytest.mark.parametrize("requested", [Position(5, "e"), Position(0, ""), Position(7, "old"), Position(8, "old")])
def test_in_cache_mode_the_newest_makes_up_for_all(requested: Position) -> None:
    newest = entries(7)
    verdict = recover(newest, requested, Position(7, "e"), 300, cache=True)
    assert verdict == Recovery(True, tuple(newest), 6)


@pytest.mark.parametrize("held", [[7], []])
def test_in_cache_mode_who_has_the_newest_needs_nothing(held: list[int]) -> None:
    assert recover(entries(*held), Position(7, "e"), Position(7, "e"), 300, cache=True) == Recovery(True, (), 7)


@pytest.mark.parametrize("requested", [Position(0, ""), Position(5, "e"), Position(7, "old")])
def test_in_cache_mode_nothing_is_recovered_from_an_empty_cache(requested: Position) -> None:
    assert recover([], requested, Position(7, "e"), 300, cache=True) == lost(7)
    assert recover([], Position(0, "e"), Position(0, "e"), 300, cache=True) == lost(0)
