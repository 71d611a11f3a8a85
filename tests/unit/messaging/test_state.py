"""What goes with a client to another node."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.errors import ThawError
from flux_gateway.messaging import state
from flux_gateway.messaging.state import VERSION, ClientState, SubscriptionState

WORDS = st.text(max_size=20)
SUBSCRIPTIONS = st.builds(
    SubscriptionState, offset=st.integers(0, 2**63 - 1), epoch=WORDS, expire_at=st.floats(0, 1e12),
    refreshable=st.booleans(), info=st.binary(max_size=20), positioned=st.booleans(), recoverable=st.booleans(),
    presence=st.booleans(), announced=st.booleans(), join_leave=st.booleans(), server_side=st.booleans(),
)  # fmt: skip
STATES = st.builds(
    ClientState, client=WORDS, user=WORDS, encoding=WORDS, info=st.binary(max_size=20), meta=st.binary(max_size=20),
    expire_at=st.floats(0, 1e12), refreshable=st.booleans(), headers=st.dictionaries(WORDS, WORDS, max_size=3),
    ping_in=st.floats(0, 100), subscriptions=st.dictionaries(WORDS, SUBSCRIPTIONS, max_size=3),
    undone=st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=20)), max_size=3),
    orders=st.lists(WORDS, max_size=3),
)  # fmt: skip


@given(STATES)
def test_what_is_encoded_is_decoded(one: ClientState) -> None:
    assert state.decode(state.encode(one)) == one


def test_another_version_is_refused() -> None:
    data = state.encode(ClientState(client="c"))
    with pytest.raises(ThawError, match="version 02; this node knows 01"):
        state.decode(bytes((VERSION + 1,)) + data[1:])
    with pytest.raises(ThawError, match="version none"):
        state.decode(b"")


@given(st.binary(max_size=60).map(lambda tail: bytes((VERSION,)) + tail))
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes) -> None:
    with suppress(ThawError):
        state.decode(data)
