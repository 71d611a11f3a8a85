"""`supervisor.protocol`: asking over the unix socket, and what goes wrong with it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.protocol import Answer, NotRunning, ProcessStatus, Request, ask

STATUS = ProcessStatus(
    name="gateway-1", kind="gateway", pid=None, restarts=2, last_exit="status 3", uptime=1.5, held=True,
    fault="hang", address="127.30.1.1", ready=False,
)  # fmt: skip


@contextmanager
def supervisor(path: Path, answer: bytes | None) -> Iterator[list[bytes]]:
    """Take one request and give the answer, or none until the asker is gone."""
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as stream:
                asked.append(stream.readline())
                if answer is None:
                    stream.read()
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            thread.join()


def test_a_request_and_its_answer_cross_the_socket_as_one_line_each(tmp_path: Path) -> None:
    path, request = tmp_path / "s", Request(op="kill", name="gateway-1", seconds=5, hold=True)
    answer = Answer(ready=True, pid=7, processes=[STATUS], note="two\nlines")
    with supervisor(path, msgspec.json.encode(answer) + b"\n") as asked:
        assert ask(path, request) == answer
    assert asked[0].count(b"\n") == 1
    assert msgspec.json.decode(asked[0], type=Request) == request


def test_an_error_in_the_answer_is_raised(tmp_path: Path) -> None:
    path = tmp_path / "s"
    answer = msgspec.json.encode(Answer(error="there is no process 'x'")) + b"\n"
    with supervisor(path, answer), pytest.raises(CommandError, match="no process 'x'"):
        ask(path, Request(op="kill", name="x"))


def test_without_a_supervisor_it_says_how_to_start_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(NotRunning, match="flux up"):
        ask(path, Request(op="status"))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with pytest.raises(NotRunning, match="flux up"):
        ask(path, Request(op="status"))


def test_a_supervisor_that_does_not_answer_is_given_up_after_the_patience(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with supervisor(path, None), pytest.raises(CommandError, match="does not answer"):
        ask(path, Request(op="status"), patience=0.1)


@pytest.mark.parametrize("answer", [b"", b'{"err'])
def test_a_supervisor_that_ends_before_its_answer_does_is_a_command_error(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "s"
    with supervisor(path, answer), pytest.raises(CommandError):
        ask(path, Request(op="stop"))
