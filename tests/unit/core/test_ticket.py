"""`core.ticket`: who may attach which session, with which state, until when."""

import hmac
from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core import proxy_protocol
from flux_gateway.core.errors import TicketError
from flux_gateway.core.frozen import LIMIT
from flux_gateway.core.ticket import Ticket, check_state, sign, verify
from tests.unit.core.support import SOME

SECRET = b"the cluster's secret, 32 bytes.."
SESSION = "0123456789abcdef" * 2
STATE = b"\x01state"
NOW = 1_700_000_000.0
TICKET = Ticket(session=SESSION, fence=2, expires=NOW + 5, reason="move")
VALUE = sign(TICKET, STATE, SECRET)


def test_a_genuine_ticket_is_read_with_all_it_says() -> None:
    ticket = verify(VALUE, SESSION, SECRET, NOW)
    assert (ticket.session, ticket.fence, ticket.expires, ticket.reason) == (SESSION, 2, NOW + 5, "move")
    assert ticket.state_size == len(STATE)
    check_state(ticket, STATE)


@pytest.mark.parametrize("state", [b"", bytes(LIMIT)])
def test_a_reattach_may_have_no_state_or_the_largest(state: bytes) -> None:
    value = sign(msgspec.structs.replace(TICKET, reason="reattach"), state, SECRET)
    ticket = verify(value, SESSION, SECRET, NOW)
    assert (ticket.reason, ticket.state_size) == ("reattach", len(state))
    check_state(ticket, state)


@pytest.mark.parametrize("at", range(len(VALUE)))
def test_a_change_of_any_byte_is_noticed(at: int) -> None:
    for bit in (0x01, 0x80):
        changed = VALUE[:at] + bytes((VALUE[at] ^ bit,)) + VALUE[at + 1 :]
        with pytest.raises(TicketError, match="not signed"):
            verify(changed, SESSION, SECRET, NOW)


@SOME
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_ticket(value: bytes) -> None:
    with pytest.raises(TicketError):
        verify(value, SESSION, SECRET, NOW)


@pytest.mark.parametrize("value", [VALUE[:-1], VALUE[1:], VALUE + b"\0", VALUE[:31], b""])
def test_a_ticket_cut_or_extended_is_refused(value: bytes) -> None:
    with pytest.raises(TicketError):
        verify(value, SESSION, SECRET, NOW)


def test_a_ticket_for_another_session_is_refused() -> None:
    with pytest.raises(TicketError, match="another session"):
        verify(VALUE, SESSION[::-1], SECRET, NOW)


def test_a_ticket_of_another_cluster_is_refused() -> None:
    with pytest.raises(TicketError, match="not signed"):
        verify(VALUE, SESSION, SECRET + b"x", NOW)


def test_a_ticket_expires() -> None:
    verify(VALUE, SESSION, SECRET, NOW + 4.99)
    with pytest.raises(TicketError, match=r"expired 0\.0 s ago"):
        verify(VALUE, SESSION, SECRET, NOW + 5)
    with pytest.raises(TicketError, match=r"expired 2\.5 s ago: compare the clocks"):
        verify(VALUE, SESSION, SECRET, NOW + 7.5)
    never = sign(msgspec.structs.replace(TICKET, expires=float("nan")), STATE, SECRET)
    with pytest.raises(TicketError, match="expired"):
        verify(never, SESSION, SECRET, NOW)


@pytest.mark.parametrize("state", [b"", STATE[:-1], STATE + b"\0", b"\x01State"])
def test_another_state_than_the_signed_one_is_refused(state: bytes) -> None:
    with pytest.raises(TicketError, match="not the one"):
        check_state(verify(VALUE, SESSION, SECRET, NOW), state)


def test_size_and_digest_are_those_of_the_state_whatever_the_ticket_said() -> None:
    claimed = msgspec.structs.replace(TICKET, state_size=99, digest=b"x")
    assert sign(claimed, STATE, SECRET) == VALUE


def test_the_secret_is_never_in_a_ticket_and_is_not_the_key_itself() -> None:
    assert SECRET not in VALUE
    assert VALUE[-32:] != hmac.digest(SECRET, VALUE[:-32], "sha256")
    assert VALUE[-32:] not in (sha256(SECRET).digest(), sha256(SECRET + VALUE[:-32]).digest())


def test_without_a_secret_no_ticket_is_made_and_none_is_valid() -> None:
    with pytest.raises(TicketError, match="set token_file"):
        sign(TICKET, STATE, b"")
    with pytest.raises(TicketError, match="set token_file"):
        verify(VALUE, SESSION, b"", NOW)


@pytest.mark.parametrize("change", [{"reason": "theft"}, {"fence": -1}], ids=["unknown reason", "negative fence"])
def test_signed_nonsense_is_refused(change: dict[str, str | int]) -> None:
    value = sign(msgspec.structs.replace(TICKET, **change), STATE, SECRET)
    with pytest.raises(TicketError, match="another version"):
        verify(value, SESSION, SECRET, NOW)


def test_a_larger_state_than_a_node_takes_is_refused_before_it_is_read() -> None:
    value = sign(TICKET, bytes(LIMIT + 1), SECRET)
    with pytest.raises(TicketError, match=f"<= {LIMIT}"):
        verify(value, SESSION, SECRET, NOW)


def test_a_ticket_travels_in_a_proxy_header() -> None:
    tlvs = {proxy_protocol.UNIQUE_ID: SESSION.encode(), proxy_protocol.TICKET: VALUE}
    data = proxy_protocol.encode(("2001:db8::1", 1), ("2001:db8::2", 2), tlvs)
    found = proxy_protocol.decode(data)
    assert found is not None
    assert found[0].session_id == SESSION
    assert found[0].tlvs[proxy_protocol.TICKET] == VALUE
