"""`runtime.journal`: entries in journald's own protocol, read back from a real datagram socket as journald would."""

import array
import io
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flux_gateway.runtime import journal
from flux_gateway.runtime.journal import JournalHandler, connected, encode, field_name, priority
from flux_gateway.runtime.logging import TextFormatter, _identity, fields


def decode(data: bytes) -> dict[str, list[str]]:
    """Return the fields of an entry, by the rules of the protocol."""
    found: dict[str, list[str]] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        found.setdefault(name.decode(), []).append(value.decode())
        data = rest
    return found


class Journald:
    """The socket of a journald, and what was sent to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(5)

    def entry(self) -> dict[str, list[str]]:
        """Return the next entry, from the datagram or from the file that came with it."""
        data, control, _, _ = self.sock.recvmsg(2**20, socket.CMSG_SPACE(4))
        if not control:
            return decode(data)
        assert data == b""
        fd = array.array("i", control[0][2])[0]
        with os.fdopen(fd, "rb") as file:
            with pytest.raises(OSError, match="not permitted"):
                os.ftruncate(fd, 0)  # sealed
            file.seek(0)
            return decode(file.read())

    def close(self) -> None:
        self.sock.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    one = Journald(tmp_path / "socket")
    yield one
    one.close()


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[JournalHandler]:
    """A handler of gateway-1, with a fallback to `stderr`."""
    fallback = logging.StreamHandler(io.StringIO())
    one = JournalHandler(_identity("gateway-1", "gateway"), fallback, str(tmp_path / "socket"))
    one.setFormatter(TextFormatter("gateway-1"))
    yield one
    one.close()


def stderr(handler: JournalHandler) -> str:
    stream = handler._fallback.stream  # type: ignore[attr-defined]
    text: str = stream.getvalue()
    return text


def record(text: str, level: int = logging.INFO, **values: Any) -> logging.LogRecord:
    trace = sys.exc_info() if sys.exc_info()[0] else None
    made = logging.LogRecord("x", level, "f.py", 1, text, (), trace)
    made.__dict__.update(fields(**values))
    return made


def test_an_entry_has_the_line_and_a_field_for_each_thing_known(journald: Journald, handler: JournalHandler) -> None:
    handler.handle(record("session ended", session="abc", code=1006, node="gateway-1", odd_ß="a b"))
    assert journald.entry() == {
        "MESSAGE": ['session ended session=abc code=1006 node=gateway-1 odd_ß="a b"'],
        "PRIORITY": ["6"],
        "SYSLOG_IDENTIFIER": ["flux-gateway"],
        "FLUX_PROGRAM": ["gateway"],
        "FLUX_NODE": ["gateway-1"],  # once, though the call names it, too
        "FLUX_SESSION": ["abc"],
        "FLUX_CODE": ["1006"],
        "FLUX_ODD_SS": ["a b"],
    }


def test_a_proxy_s_word_about_a_node_is_found_by_the_node() -> None:
    assert _identity("proxy-1", "proxy") == {
        "SYSLOG_IDENTIFIER": "flux-proxy", "FLUX_PROGRAM": "proxy", "FLUX_PROXY": "proxy-1",
    }  # fmt: skip
    assert field_name("node") == "FLUX_NODE"
    assert _identity("dashboard", "dashboard") == {"SYSLOG_IDENTIFIER": "flux-dashboard", "FLUX_PROGRAM": "dashboard"}


def test_names_and_levels_are_as_journald_and_syslog_want_them() -> None:
    assert field_name("größe/1" + "x" * 100) == ("FLUX_GR_SSE_1" + "X" * 100)[:64]
    levels = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
    assert [priority(level) for level in levels] == [2, 3, 4, 6, 7]


def test_an_exception_is_in_the_message_and_on_its_own(journald: Journald, handler: JournalHandler) -> None:
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        handler.handle(record("failed", logging.ERROR))
    entry = journald.entry()
    assert entry["MESSAGE"][0].startswith("failed\nTraceback")
    assert entry["FLUX_TRACE"][0].startswith("Traceback")
    assert entry["FLUX_TRACE"][0].endswith("RuntimeError: boom")
    assert entry["PRIORITY"] == ["3"]


def test_a_value_cannot_forge_a_field(journald: Journald, handler: JournalHandler) -> None:
    handler.handle(record("refused", path="/\nPRIORITY=0\nFLUX_NODE=gateway-9"))
    entry = journald.entry()
    assert entry["PRIORITY"] == ["6"]
    assert entry["FLUX_NODE"] == ["gateway-1"]
    assert entry["FLUX_PATH"] == ["/\nPRIORITY=0\nFLUX_NODE=gateway-9"]


def test_half_a_character_is_no_reason_to_fail() -> None:
    assert decode(encode([("MESSAGE", "a\udcffb")])) == {"MESSAGE": ["a\\udcffb"]}


def test_an_entry_too_big_for_a_datagram_comes_as_a_sealed_file(journald: Journald, handler: JournalHandler) -> None:
    handler.handle(record("x" * 5_000_000))
    handler.handle(record("small"))
    assert journald.entry()["MESSAGE"] == ["x" * 5_000_000]
    assert journald.entry()["MESSAGE"] == ["small"]


def test_without_a_journal_lines_go_to_stderr_until_it_is_back(tmp_path: Path, handler: JournalHandler) -> None:
    handler.handle(record("before"))
    first = Journald(tmp_path / "socket")
    handler.handle(record("one"))
    assert first.entry()["MESSAGE"] == ["one"]
    first.close()
    handler.handle(record("between"))
    second = Journald(tmp_path / "socket")
    handler.handle(record("two"))
    assert second.entry()["MESSAGE"] == ["two"]
    second.close()
    assert stderr(handler) == "before\nbetween\n"


def test_a_journal_that_was_made_anew_is_found_at_once(tmp_path: Path, handler: JournalHandler) -> None:
    first = Journald(tmp_path / "socket")
    handler.handle(record("one"))
    first.close()
    second = Journald(tmp_path / "socket")
    handler.handle(record("two"))
    assert second.entry()["MESSAGE"] == ["two"]
    assert stderr(handler) == ""
    second.close()


def test_a_journal_that_does_not_keep_up_costs_lines_not_time(journald: Journald, handler: JournalHandler) -> None:
    started = time.monotonic()
    for number in range(5000):
        handler.handle(record(f"line {number}"))
    assert time.monotonic() - started < journal._PATIENCE + 2
    journald.sock.setblocking(False)
    read = 0
    while True:
        try:
            journald.entry()
        except BlockingIOError:
            break
        read += 1
    handler.handle(record("after"))
    assert journald.entry()["FLUX_LOST_BEFORE"] == [str(5000 - read)]
    handler.handle(record("later"))
    assert "FLUX_LOST_BEFORE" not in journald.entry()
    assert stderr(handler) == ""


def test_only_the_stream_that_the_variable_names_is_the_journal(tmp_path: Path) -> None:
    with (tmp_path / "one").open("w") as one, (tmp_path / "other").open("w") as other:
        named = os.fstat(one.fileno())
        environment = {"JOURNAL_STREAM": f"{named.st_dev}:{named.st_ino}"}
        assert connected(one, environment)
        assert not connected(other, environment)
        assert not connected(one, {})
    assert not connected(one, environment)  # closed
    assert not connected(io.StringIO(), environment)


PROGRAM = """
import logging, os, sys
from flux_gateway.runtime import journal
from flux_gateway.runtime.logging import configure, fields
journal.JournalHandler.__init__.__defaults__ = (sys.argv[1],)
if sys.argv[2] == "same":
    stat = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{stat.st_dev}:{stat.st_ino}"
else:
    os.environ["JOURNAL_STREAM"] = "1:1"
configure("proxy-1", kind="proxy")
logging.getLogger("a").warning("link lost", extra=fields(node="gateway-1"))
"""


def test_a_program_of_a_unit_logs_to_the_journal_and_a_redirected_one_to_its_file(journald: Journald) -> None:
    def run(how: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, str(journald.path), how], stderr=subprocess.PIPE, check=True, timeout=30
        ).stderr.decode()

    assert run("same") == ""
    entry = journald.entry()
    assert entry["FLUX_PROXY"] == ["proxy-1"]
    assert entry["FLUX_NODE"] == ["gateway-1"]
    assert entry["MESSAGE"] == ["link lost node=gateway-1"]
    assert "WARNING proxy-1 link lost node=gateway-1" in run("other")
