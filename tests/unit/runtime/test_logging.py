"""`runtime.logging`: one line per event, whatever is in it."""

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from flux_gateway.runtime.logging import LineFormatter, configure, fields


def line(text: str, *args: Any, **values: Any) -> str:
    record = logging.LogRecord("x", logging.WARNING, "f.py", 1, text, args, None)
    record.created, record.msecs = 1_700_000_000.0, 7.0
    record.__dict__.update(fields(**values))
    return LineFormatter("gateway-1").format(record)


def test_a_line_is_time_level_program_text_and_fields_in_order() -> None:
    assert line("drain began after %d s", 3, sessions=12, by="flux") == (
        "2023-11-14T22:13:20.007Z WARNING gateway-1 drain began after 3 s sessions=12 by=flux"
    )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"), (0, "0"), ("grüße", "grüße"), ("a=b", "a=b"), ("", '""'), ("two words", '"two words"'),
        ('say "hi"', r'"say \"hi\""'), ("a\nERROR forged", r'"a\nERROR forged"'), ("\x1b[31m", r'"\x1b[31m"'),
        ("a\tb", r'"a\tb"'), ('"', r'"\""'), ("back\\slash", "back\\slash"), ("a \\ b", r'"a \\ b"'),
    ],
)  # fmt: skip
def test_a_value_is_quoted_when_it_would_not_read_as_one_word(value: object, written: str) -> None:
    assert line("x", value=value).endswith(f" x value={written}")


def test_what_a_peer_sends_cannot_begin_a_new_line() -> None:
    assert "\n" not in line("refused", path="/\r\n2026-01-01 INFO gateway-1 all is well\u2028")


def test_an_exception_s_trace_follows_the_line() -> None:
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "failed", (), sys.exc_info())
    first, *trace = LineFormatter("p").format(record).split("\n")
    assert first.endswith("ERROR p failed")
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "RuntimeError: boom"


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Standard error; the loggers are put back afterwards."""
    root = logging.getLogger()
    # Out of reach of `configure`, which would close pytest's own handlers for good.
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    quiet = {name: logging.getLogger(name).level for name in ("websockets", "aiohttp.access")}
    yield capsys
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def test_configure_sends_lines_from_the_wanted_level_on_to_standard_error(capture: pytest.CaptureFixture[str]) -> None:
    configure("proxy-1", "warning")
    logging.getLogger("flux_gateway.x").info("quiet")
    logging.getLogger("flux_gateway.x").warning("loud", extra=fields(a=1))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING proxy-1 loud a=1\n", capture.readouterr().err)


def test_configuring_twice_does_not_double_the_lines(capture: pytest.CaptureFixture[str]) -> None:
    configure("a")
    configure("b")
    logging.getLogger("x").info("once")
    assert capture.readouterr().err.count("once") == 1


def test_libraries_that_log_every_connection_are_kept_quiet(capture: pytest.CaptureFixture[str]) -> None:
    configure("a", "debug")
    for name in ("websockets.server", "aiohttp.access"):
        logging.getLogger(name).info("connection open")
    assert capture.readouterr().err == ""
