"""`supervisor.handing`: what a program finds when it has been given listening sockets."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from flux_gateway.supervisor import handing

TELLS = """
import json, os, sys
names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
files = [file for file in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{file}")]
print(json.dumps({
    "pid": os.getpid(), "environment": {name: os.environ.get(name) for name in names}, "argv": sys.argv[1:],
    "inodes": {file: os.fstat(int(file)).st_ino for file in files},
}))
"""


@pytest.mark.parametrize("order", [(0,), (0, 1, 2), (2, 1, 0)])
def test_the_sockets_are_descriptors_from_3_on_in_their_order_whatever_numbers_they_had(order: tuple[int, ...]) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in order]
        descriptors = [sockets[at].fileno() for at in order]
        argv = handing.command((sys.executable, "-S", "-c", TELLS, "a b", "$x;"), descriptors)
        with subprocess.Popen(argv, pass_fds=descriptors, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = json.loads(process.stdout.read())
        assert told["environment"] == {
            "LISTEN_PID": str(process.pid), "LISTEN_FDS": str(len(order)),
            "LISTEN_FDNAMES": ":".join(["clients"] * len(order)),
        }  # fmt: skip
        assert told["pid"] == process.pid
        assert told["argv"] == ["a b", "$x;"]
        expected = [os.fstat(descriptor).st_ino for descriptor in descriptors]
        found = told["inodes"]
        assert [found[str(3 + at)] for at in range(len(order))] == expected
        assert sum(inode in expected for inode in found.values()) == len(order)  # and no other duplicate


def test_descriptors_that_stand_in_each_other_s_way_are_told_apart() -> None:
    code = f"import sys; sys.path.insert(0, {os.getcwd()!r})\n" + f"""
import os
from flux_gateway.supervisor import handing
pipes = [os.pipe() for _ in range(3)]
inodes = [os.fstat(read).st_ino for read, _ in pipes]
for at, (read, _) in enumerate(pipes):
    os.dup2(read, 20 + at)
os.closerange(3, 20)
for new, old in ((4, 20), (5, 21), (3, 22)):
    os.dup2(old, new)
print(inodes, flush=True)
code = "import os; print([os.fstat(fd).st_ino for fd in (3, 4, 5)])"
handing.become([{sys.executable!r}, "-S", "-c", code], [4, 5, 3])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    before, after = done.stdout.splitlines()
    assert before == after


def test_a_program_without_sockets_is_started_as_it_is() -> None:
    assert handing.command(("a", "b"), []) == ("a", "b")
