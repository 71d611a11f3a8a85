"""What tests on hosts ask of systemd. `host` is testinfra's, or a `Machine`."""

import re
from typing import Any

SSH = {("0.0.0.0", 22), ("[::]", 22)}
"""What listens on every host, as `listening` returns it."""


def address_of(host: Any) -> str:
    """Return the host's address."""
    return str(host.check_output("hostname -I").split()[0])


def listening(host: Any) -> set[tuple[str, int]]:
    """Return (address, port) of everything that listens on TCP."""
    found = set()
    for line in host.check_output("ss -Hltn").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        found.add((address, int(port)))
    return found


def security_exposure(host: Any, unit: str) -> float:
    """Return what `systemd-analyze security` says of a unit: 0 is safe, 10 is open to everything."""
    said = host.check_output("systemd-analyze security --no-pager %s", unit)
    found = re.search(r"Overall exposure level for .*: ([0-9.]+)", said)
    assert found is not None, said
    return float(found[1])


def unit_property(host: Any, unit: str, name: str) -> str:
    """Return a property of a unit, as `systemctl show` prints it."""
    return str(host.check_output("systemctl show --property %s --value %s", name, unit))


def journal(host: Any, *matches: str) -> list[str]:
    """Return the messages of the journal that match all fields, oldest first."""
    return str(host.check_output(f"journalctl --no-pager -q -o cat {' '.join(matches)}")).splitlines()
