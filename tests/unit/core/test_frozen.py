"""`core.frozen`: a session as bytes, its versions, and what is refused."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core import frozen as module
from flux_gateway.core.errors import ThawError, Unmovable
from flux_gateway.core.frozen import LIMIT, VERSION, Fields, Frozen, decode, encode
from flux_gateway.core.link import OVERHEAD
from tests.unit.core.support import SOME

WORDS = st.text(max_size=40)
FROZEN = st.builds(
    Frozen, session=WORDS, path=WORDS, connected_at=st.floats(0, 1e12), moves=st.integers(0, 2**31), extensions=WORDS,
    awaiting_pong=st.booleans(),
)  # fmt: skip
ONE = Frozen(session="ab" * 16, path="/echo", connected_at=1700000000.25, moves=3, extensions="", awaiting_pong=True)

AS_VERSION_1 = (
    b"\x01\x86\xa7session\xd9 " + b"ab" * 16 + b"\xa4path\xa5/echo\xacconnected_at\xcb\x41\xd9\x54\xfc\x40\x10\x00\x00"
    b"\xa5moves\x03\xaaextensions\xa0\xadawaiting_pong\xc3"
)
"""`ONE` as version 1 froze it; stays as it is when the version rises."""


@SOME
@given(FROZEN)
def test_what_is_encoded_is_decoded(frozen: Frozen) -> None:
    assert decode(encode(frozen)) == frozen


def test_the_bytes_of_version_1_are_thawed() -> None:
    assert decode(AS_VERSION_1) == ONE


def test_version_1_is_written_as_it_is_written_down_here() -> None:
    assert encode(ONE) == AS_VERSION_1


def test_within_a_version_unknown_fields_are_ignored_and_a_missing_new_one_has_its_default() -> None:
    fields: Fields = msgspec.to_builtins(ONE)
    del fields["awaiting_pong"]
    thawed = decode(bytes((VERSION,)) + msgspec.msgpack.encode({**fields, "from_tomorrow": [1]}))
    assert thawed == msgspec.structs.replace(ONE, awaiting_pong=False)


def test_a_newer_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(ThawError) as caught:
        decode(b"\x02" + AS_VERSION_1[1:])
    assert str(caught.value) == "frozen by a newer version (2, this node knows 1): update this node first"


def test_the_version_before_goes_through_its_upgrade_and_the_one_before_that_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The day after: a node of the next version, in which `path` was called otherwise."""

    def renamed(fields: Fields) -> Fields:
        return {**fields, "path": "/v2" + fields.pop("path")}

    monkeypatch.setattr(module, "VERSION", 2)
    monkeypatch.setitem(module.UPGRADES, 1, renamed)
    assert decode(AS_VERSION_1) == msgspec.structs.replace(ONE, path="/v2/echo")
    with pytest.raises(ThawError, match="not the state of a session"):
        decode(b"\x01" + msgspec.msgpack.encode({"session": "a"}))
    monkeypatch.setattr(module, "VERSION", 3)
    with pytest.raises(ThawError, match="frozen by version 1, too old for this node, which knows 3"):
        decode(AS_VERSION_1)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no state"),
        (b"\x00" + AS_VERSION_1[1:], "frozen by version 0, too old"),
        (b"\x01", "not the state of a session"),
        (AS_VERSION_1[:-1], "not the state of a session"),
        (AS_VERSION_1 + b"\x00", "not the state of a session"),
        (b"\x01\x93\x01\x02\x03", "not the state of a session"),
        (b"\x01" + msgspec.msgpack.encode({**msgspec.to_builtins(ONE), "moves": "three"}), "not the state"),
        (b"\x01" + msgspec.msgpack.encode({"session": "a"}), "missing required field"),
        (bytes((VERSION,)) + bytes(LIMIT), f"more than {LIMIT}"),
    ],
)
def test_what_is_no_state_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ThawError, match=why):
        decode(data)


@SOME
@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: b"\x01" + tail)))
def test_arbitrary_bytes_are_thawed_or_refused(data: bytes) -> None:
    with suppress(ThawError):
        decode(data)


def test_a_state_too_large_to_carry_is_not_frozen() -> None:
    with pytest.raises(Unmovable, match="too large to carry"):
        encode(msgspec.structs.replace(ONE, path="/" * LIMIT))


def test_the_largest_state_fits_into_a_message_of_the_link() -> None:
    assert LIMIT * 4 // 3 + 4096 < OVERHEAD
