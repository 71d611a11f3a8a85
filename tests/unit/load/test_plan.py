"""`load.plan`: URLs, source addresses, and faults that are told all at once."""

from typing import Any

import pytest

from flux_gateway.load.plan import LoadPlan, expand_sources, parse_url

URL = "ws://127.0.0.1:8080/echo"


def test_the_session_key_goes_into_the_query() -> None:
    assert parse_url(URL).path_of("k-1") == "/echo?session=k-1"
    assert parse_url("ws://h").path_of("k-1") == "/?session=k-1"
    assert parse_url("ws://h/?x=session").path_of("k-1") == "/?x=session&session=k-1"


def test_a_session_in_the_url_stays() -> None:
    assert parse_url("ws://h/echo?a=1&session=mine").path_of("k-1") == "/echo?a=1&session=mine"
    assert parse_url("ws://h/echo?session=").path_of("k-1") == "/echo?session="


def test_the_host_header() -> None:
    assert parse_url(URL).authority == "127.0.0.1:8080"
    assert parse_url("ws://example.org/").authority == "example.org"
    assert parse_url("ws://[::1]:81/").authority == "[::1]:81"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("wss://h/", "plain ws:// only"),
        ("http://h/", "not a WebSocket URL"),
        ("ws://", "not a WebSocket URL"),
        ("h:8080", "not a WebSocket URL"),
        ("ws://h:99999/", "ort"),
        ("ws://h:0/", "only ws://HOST"),
        ("ws://u@h/", "only ws://HOST"),
        ("ws://h/#part", "only ws://HOST"),
        ("ws://h/a b", "percent-encoded"),
        ("ws://h/ä", "percent-encoded"),
    ],
)
def test_wrong_urls_are_refused_with_a_reason(url: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LoadPlan(url=url)


def test_source_ranges() -> None:
    assert expand_sources(("127.0.2.1", "127.0.2.254-127.0.3.1")) == (
        "127.0.2.1", "127.0.2.254", "127.0.2.255", "127.0.3.0", "127.0.3.1",
    )  # fmt: skip
    for wrong in ("localhost", "127.0.0.2-127.0.0.1", "127.0.0.1-::1", "127.0.0.0-127.9.0.0"):
        with pytest.raises(ValueError, match=wrong.split("-")[0]):
            expand_sources((wrong,))


@pytest.mark.parametrize(
    "values",
    [
        {"clients": 0}, {"rate": -1.0}, {"rate": float("nan")}, {"window": 0}, {"size": 15}, {"duration": 0.0},
        {"ramp": 0.0}, {"grace": -1.0}, {"connect_timeout": 0.0}, {"prefix": "a&b"},
        {"prefix": "a b"}, {"sources": ("localhost",)},
    ],
)  # fmt: skip
def test_values_without_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values)).replace("_", " ")):
        LoadPlan(url=URL, **values)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"clients.*size"):
        LoadPlan(url=URL, clients=0, size=1)
