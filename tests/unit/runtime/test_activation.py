"""`runtime.activation`: sockets passed by descriptor, to a real child process as systemd would start it."""

import json
import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from flux_gateway.runtime.activation import listeners

ASK = """
import json, os
from flux_gateway.core.errors import ConfigError
from flux_gateway.runtime.activation import listeners
try:
    found = listeners()
except ConfigError as error:
    print(json.dumps({"faults": error.faults}))
else:
    print(json.dumps({
        "found": {name: [s.getsockname()[1] for s in sockets] for name, sockets in found.items()},
        "inheritable": [s.get_inheritable() for sockets in found.values() for s in sockets],
        "left": sorted(name for name in os.environ if name.startswith("LISTEN_")),
    }))
"""


def ask(sockets: list[socket.socket], pid: str = "", **environment: str) -> Any:
    """Return what a child finds that got the sockets as descriptors 3, 4, ...: its answer as JSON."""
    # Descriptors beyond any that is in the way, then the wrapper puts them where they belong and becomes the child.
    fds = [sock.fileno() for sock in sockets]
    wrapper = (
        "import os, sys\n"
        f"high = [os.dup2(fd, 100 + at) for at, fd in enumerate({fds})]\n"
        "for at, fd in enumerate(high):\n    os.dup2(fd, 3 + at)\n    os.close(fd)\n"
        f"os.environ['LISTEN_PID'] = {pid!r} or str(os.getpid())\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])\n"
    )
    variables = {**os.environ, "LISTEN_FDS": str(len(fds)), **environment}
    done = subprocess.run(
        [sys.executable, "-c", wrapper, ASK], pass_fds=fds, env=variables, capture_output=True, check=True, timeout=30
    )
    return json.loads(done.stdout)


@pytest.fixture
def two() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        yield [one, other]


def ports(sockets: list[socket.socket]) -> list[int]:
    return [sock.getsockname()[1] for sock in sockets]


def test_sockets_come_by_name_and_no_child_inherits_anything(two: list[socket.socket]) -> None:
    answer = ask(two, LISTEN_FDNAMES="clients:clients")
    assert answer == {"found": {"clients": ports(two)}, "inheritable": [False, False], "left": []}


def test_names_differ_and_may_be_missing(two: list[socket.socket]) -> None:
    one, other = ports(two)
    assert ask(two, LISTEN_FDNAMES="clients:admin")["found"] == {"clients": [one], "admin": [other]}
    assert ask(two)["found"] == {"unknown": [one, other]}


def test_sockets_meant_for_another_process_are_left_alone(two: list[socket.socket]) -> None:
    assert ask(two, pid="1", LISTEN_FDNAMES="clients:clients") == {"found": {}, "inheritable": [], "left": []}


def test_what_does_not_listen_is_named(two: list[socket.socket]) -> None:
    with socket.socket() as idle:
        faults = ask([two[0], idle], LISTEN_FDNAMES="clients:odd")["faults"]
    assert len(faults) == 1
    assert "'odd' (descriptor 4)" in faults[0]
    assert "ListenStream=" in faults[0]


def test_without_systemd_there_is_nothing() -> None:
    assert listeners({}) == {}
