"""`broker.slots`: what a Redis Cluster says of itself."""

import pytest

from flux_gateway.broker.slots import Range, Redirection, parse_redirection, parse_slots

ASKED = ("127.0.0.9", 7000)


def test_the_map_of_slots_is_read() -> None:
    reply = [
        [0, 5460, [b"127.0.0.1", 7001, b"id"], [b"127.0.0.2", 7002, b"a replica"]],
        [5461, 5461, [b"", 7003, b"id", []]],
        [5462, 16383, [None, 7004]],
    ]
    assert parse_slots(reply, ASKED) == [
        Range(0, 5460, ("127.0.0.1", 7001)), Range(5461, 5461, ("127.0.0.9", 7003)),
        Range(5462, 16383, ("127.0.0.9", 7004)),
    ]  # fmt: skip
    assert parse_slots([], ASKED) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirection(True, 3999, ("127.0.0.1", 6381))),
        ("ASK 0 ::1:6381", Redirection(False, 0, ("::1", 6381))),
        ("MOVED 1 :6381", Redirection(True, 1, ("127.0.0.9", 6381))),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
        ("CLUSTERDOWN Hash slot not served", None),
    ],
)
def test_a_redirection_is_told_from_other_errors(text: str, expected: Redirection | None) -> None:
    assert parse_redirection(text, ASKED) == expected
