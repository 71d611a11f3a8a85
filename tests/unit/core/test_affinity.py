"""`core.affinity`: where the key of a request comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.affinity import AffinityNames, affinity_key
from flux_gateway.core.http_head import RequestHead
from flux_gateway.core.slots import slot_of
from tests.unit.core.support import SOME

NAMES = AffinityNames()


def key(target: str = "/", names: AffinityNames = NAMES, **headers: str) -> str:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return affinity_key(RequestHead("GET", target, pairs), "192.0.2.7", names)


def test_query_comes_before_header_before_cookie_before_address() -> None:
    cookie = "a=1; flux_session=from-cookie"
    assert key("/?session=from-query", x_flux_session="from-header", cookie=cookie) == "from-query"
    assert key("/", x_flux_session="from-header", cookie=cookie) == "from-header"
    assert key("/", cookie=cookie) == "from-cookie"
    assert key("/") == "192.0.2.7"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/?a=1&session=s&b=2", "s"),
        ("/?session=a%20b%C3%A9", "a bé"),
        ("/?session=a+b", "a b"),
        ("/?session=first&session=second", "first"),
        ("/?session=", "192.0.2.7"),
        ("/?session", "192.0.2.7"),
        ("/?nosession=x", "192.0.2.7"),
        ("/session=x", "192.0.2.7"),
        ("/?session=%ff", "\ufffd"),
    ],
)
def test_keys_from_the_query(target: str, expected: str) -> None:
    assert key(target) == expected


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("flux_session=s", "s"),
        ('flux_session="s"', "s"),
        ("a=1;flux_session=s;b=2", "s"),
        ("flux_session=a=b", "a=b"),
        ("xflux_session=s; flux_sessions=t", "192.0.2.7"),
        ("flux_session", "192.0.2.7"),
        ("flux_session=", "192.0.2.7"),
        (";;=;", "192.0.2.7"),
    ],
)
def test_keys_from_a_cookie(cookie: str, expected: str) -> None:
    assert key(cookie=cookie) == expected


def test_the_names_can_be_configured() -> None:
    names = AffinityNames(query="user", header="x-user", cookie="user_id")
    assert key("/?session=no&user=u1", names) == "u1"
    assert key("/", names, x_user="u2") == "u2"
    assert key("/", names, cookie="user_id=u3") == "u3"
    assert key("/?session=a", names, x_flux_session="b", cookie="flux_session=c") == "192.0.2.7"


@SOME
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60), st.binary(max_size=60))
def test_whatever_a_client_sends_its_key_is_not_empty_and_has_a_slot(query: str, value: bytes) -> None:
    text = value.decode("latin-1")
    for found in (key(f"/?session={query}"), key(x_flux_session=text), key(cookie=f"flux_session={text}")):
        assert found
        assert 0 <= slot_of(found.encode()) < 65_536
