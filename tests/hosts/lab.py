"""All test hosts of this machine: who is there, who gets which address, several at once."""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.hosts import base, network
from tests.hosts.machine import Machine
from tests.hosts.paths import LAB
from tests.hosts.shell import CommandFailed

_FIRST, _LAST = 11, 199
"""Last octets that hosts may have. Above them are virtual addresses that hosts share."""


class Wanted(msgspec.Struct, frozen=True):
    """A host to be started."""

    name: str
    address: str = ""
    """Empty: the next free one."""
    suite: str = "bookworm"
    full: bool = True
    """With the Debian packages that roles would install, switched off."""


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    LAB.mkdir(parents=True, exist_ok=True)
    with (LAB / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def machines() -> dict[str, Machine]:
    """Return every host there is, by name."""
    found = [msgspec.json.decode(file.read_bytes(), type=Machine) for file in sorted(LAB.glob("*/machine.json"))]
    return {machine.name: machine for machine in found}


def up(wanted: Sequence[Wanted]) -> list[Machine]:
    """Start hosts, all at once, and wait until they answer. Those that run already stay as they are.

    If one does not come up, those started here are taken down again.
    """
    bases = {(one.suite, one.full): str(base.build(one.suite, full=one.full)) for one in wanted}
    started: list[Machine] = []
    try:
        with _locked():
            network.open_bridge()
            _start(wanted, bases, started)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(Machine.wait, started))
    except CommandFailed:
        down([machine.name for machine in started])
        raise
    now = machines()
    return [now[one.name] for one in wanted]


def _start(wanted: Sequence[Wanted], bases: dict[tuple[str, bool], str], started: list[Machine]) -> None:
    there = machines()
    taken = {machine.address for machine in there.values()}
    for one in wanted:
        if one.name in there:
            if there[one.name].pid() is not None:
                continue
            there[one.name].stop()  # left behind by a run that was killed
        address = one.address or next(
            f"10.42.0.{octet}" for octet in range(_FIRST, _LAST) if f"10.42.0.{octet}" not in taken
        )
        taken.add(address)
        machine = Machine(one.name, address, bases[one.suite, one.full])
        started.append(machine)
        machine.start()


def down(names: Sequence[str]) -> None:
    """End hosts and remove all that belongs to them; with the last one the bridge goes, too."""
    there = machines()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Machine.stop, [there[name] for name in names if name in there]))
    with _locked():
        if not machines():
            network.close_bridge()
