"""Codes and the texts that go with them: what SDKs make of an error, a close code and its reason."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.errors import FluxError
from flux_gateway.messaging.codes import (
    ClientError,
    CloseCode,
    Disconnect,
    ErrorCode,
    UnsubscribeCode,
    unsubscribe_reason,
)


def test_an_error_takes_its_message_from_the_table() -> None:
    error = ClientError(ErrorCode.PERMISSION_DENIED)
    assert (error.code, error.message, error.temporary) == (103, "permission denied", False)
    assert isinstance(error, FluxError)
    assert str(error) == "103 permission denied"


def test_only_three_errors_are_temporary() -> None:
    assert {int(code) for code in ErrorCode if ClientError(code).temporary} == {100, 111, 113}


def test_what_the_application_says_about_an_error_wins() -> None:
    error = ClientError(100, "try tomorrow", temporary=False)
    assert (error.code, error.message, error.temporary) == (100, "try tomorrow", False)
    assert ClientError(1500, temporary=True).temporary


def test_an_error_of_the_application_has_a_message_even_without_one() -> None:
    assert ClientError(1234).message == "error 1234"


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_code_has_a_message(code: ErrorCode) -> None:
    assert not ClientError(code).message.startswith("error ")


@pytest.mark.parametrize("code", CloseCode)
def test_every_close_code_has_a_reason(code: CloseCode) -> None:
    assert not Disconnect(code).reason.startswith("closed with")


def test_a_close_code_of_the_application_has_a_reason_even_without_one() -> None:
    assert (Disconnect(4500).code, Disconnect(4500).reason) == (4500, "closed with code 4500")


@pytest.mark.parametrize("reason", ["", " ", "\n"])
def test_an_empty_reason_becomes_the_code_s_own(reason: str) -> None:
    assert Disconnect(CloseCode.FORCE_DISCONNECT, reason).reason == "force disconnect"


@pytest.mark.parametrize("reason", ["1", "true", " null ", '{"reconnect":false,"reason":"x"}', "1e999", '"\\ud800"'])
def test_a_reason_that_is_json_no_longer_is(reason: str) -> None:
    assert Disconnect(4000, reason).reason == f"reason: {reason.strip()}"


def test_a_long_reason_is_cut_between_characters() -> None:
    assert Disconnect(4000, "ü" * 100).reason == "ü" * 61
    assert Disconnect(4000, "9" * 200).reason == "reason: " + "9" * 115


@given(st.text(st.characters(), max_size=200) | st.recursive(st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_reason_is_empty_or_json_or_too_long(reason: str) -> None:
    told = Disconnect(4000, reason).reason
    assert 0 < len(told.encode()) <= 123
    with pytest.raises(ValueError):  # noqa: PT011 (json's own class is one, and too many digits are another)
        json.loads(told)


def test_unsubscribe_reasons_are_never_empty() -> None:
    assert [unsubscribe_reason(code) for code in UnsubscribeCode] == [
        "server unsubscribe", "insufficient state", "subscription expired", "state invalidated",
    ]  # fmt: skip
    assert unsubscribe_reason(2100) == "unsubscribed with code 2100"
