"""Test hosts from a shell: `python -m tests.hosts --help`."""

import json
import sys
from argparse import REMAINDER, ArgumentParser
from pathlib import Path

from tests.hosts import lab
from tests.hosts.machine import Machine
from tests.hosts.paths import KEY
from tests.hosts.shell import CommandFailed


def _reached(machine: Machine) -> dict[str, str]:
    """Return what Molecule needs to know of a host; JSON is YAML, too."""
    return {
        "instance": machine.name, "address": machine.address, "user": "root", "port": "22", "identity_file": str(KEY),
    }  # fmt: skip


def main() -> int:
    """Carry out one command; status 1 with one line when it fails."""
    parser = ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start hosts: NAME or NAME=ADDRESS; prints them as JSON")
    up.add_argument("names", nargs="*")
    up.add_argument("--suite", default="bookworm")
    up.add_argument("--bare", action="store_true", help="without the packages that roles install")
    up.add_argument("--json", metavar="PLATFORMS", help="the hosts as a scenario of Molecule lists them")
    up.add_argument("--instance-config", type=Path, metavar="FILE", help="write how to reach them, for Molecule")
    down = commands.add_parser("down", help="end hosts; --all for every one")
    down.add_argument("names", nargs="*")
    down.add_argument("--all", action="store_true")
    commands.add_parser("list", help="the hosts there are, and how to reach them")
    run = commands.add_parser("exec", help="run a command on a host")
    run.add_argument("name")
    run.add_argument("argv", nargs=REMAINDER)
    reboot = commands.add_parser("reboot", help="boot a host again")
    reboot.add_argument("name")
    given = parser.parse_args()
    try:
        if given.command == "up":
            wanted = [
                lab.Wanted(name, address, given.suite, not given.bare)
                for name, _, address in (text.partition("=") for text in given.names)
            ]
            wanted += [
                lab.Wanted(one["name"], one.get("address", ""), one.get("suite", given.suite), not one.get("bare"))
                for one in json.loads(given.json or "[]")
            ]
            started = lab.up(wanted)
            if given.instance_config:
                given.instance_config.write_text(json.dumps([_reached(machine) for machine in started]))
            print(json.dumps([{"name": machine.name, "address": machine.address} for machine in started]))
        elif given.command == "down":
            lab.down(list(lab.machines()) if given.all else given.names)
        elif given.command == "list":
            for machine in lab.machines().values():
                print(f"{machine.name:<12} {machine.address:<14} ssh -i {KEY} root@{machine.address}")
        elif given.command == "reboot":
            lab.machines()[given.name].reboot()
        else:
            print(lab.machines()[given.name].exec(*given.argv), end="")
    except CommandFailed as error:
        print(f"hosts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
