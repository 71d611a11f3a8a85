#!/usr/bin/env python3
"""Ansible inventory of the lab that the Vagrantfile describes: `vagrant up`, then `ansible-playbook site.yml`.

Groups and private addresses come from the files that the Vagrantfile leaves beside each VM's state, the way in by ssh
from `vagrant ssh-config`. Nothing but the standard library: this runs under whatever Python Ansible finds.

    inventory/vagrant.py --list
    inventory/vagrant.py --host gw1
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
GROUPS = ("gateways", "redis", "proxies", "dashboard")
# Vagrant takes 2 to 5 seconds to start, more under load. A minute means that it waits for something.
DEADLINE_S = 60
# An address can change without Vagrant noticing (a new DHCP lease), so what it said is believed for a while only.
CACHE_S = 300
# VirtualBox forwards ports to a VM's NAT address and libvirt to its management address: in the lab, what the forwarded
# ports lead to listens on every address. On other machines both keep to `flux_address`.
LAB_VARIABLES = {
    "proxies": {"proxy_host": "0.0.0.0"},
    "dashboard": {"dashboard_host": "0.0.0.0"},
}
# A VM gets new host keys each time it is made, at an address that others had before.
SSH_OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")


Variables = dict[str, dict[str, object]]


class LabError(Exception):
    """The lab cannot be listed; the text says in one line what to do."""


class Machine(NamedTuple):
    """A VM that exists: what the Vagrantfile noted of it. `state` changes whenever Vagrant makes or starts it anew."""

    name: str
    group: str
    address: str
    state: str


def state_directory() -> Path:
    """The directory where Vagrant keeps the state of this project's VMs."""
    return PROJECT / os.environ.get("VAGRANT_DOTFILE_PATH", ".vagrant")


def existing_machines(directory: Path) -> list[Machine]:
    """The VMs that were made and not destroyed, by name. Raises LabError for one that is not up yet."""
    machines = []
    for identity in sorted(directory.glob("machines/*/*/id")):
        name = identity.parent.parent.name
        note = identity.parent / "flux.json"
        try:
            noted = json.loads(note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LabError(f"VM {name} was never up completely: run `vagrant up` again") from None
        state = f"{identity.read_text(encoding='utf-8').strip()} {note.stat().st_mtime_ns}"
        machines.append(Machine(name, noted["group"], noted["address"], state))
    return machines


def run_ssh_config(names: list[str]) -> tuple[str, str]:
    """Output and, when it failed, error text of `vagrant ssh-config` for these VMs. Raises LabError without Vagrant."""
    command = ["vagrant", "ssh-config", *names]
    try:
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    except FileNotFoundError:
        raise LabError("no `vagrant` here: install it and run `vagrant up`, or give -i inventory/your.yml") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"`{' '.join(command)}` did not answer within {DEADLINE_S} seconds") from None
    return done.stdout, done.stderr.strip() if done.returncode else ""


def parse_ssh_config(text: str) -> dict[str, dict[str, str]]:
    """The options of each `Host` in ssh's own syntax: name -> option in lower case -> value; the first value counts."""
    hosts: dict[str, dict[str, str]] = {}
    options: dict[str, str] = {}
    for line in text.splitlines():
        keyword, _, value = line.strip().partition(" ")
        if keyword == "Host":
            options = hosts.setdefault(value.strip(), {})
        elif keyword:
            options.setdefault(keyword.lower(), value.strip())
    return hosts


def ask_vagrant(names: list[str]) -> dict[str, dict[str, str]]:
    """ssh options of those VMs that are up. Vagrant stops at the first one that is not: then the rest is asked anew."""
    found: dict[str, dict[str, str]] = {}
    waiting = names
    while waiting:
        output, error = run_ssh_config(waiting)
        answered = parse_ssh_config(output)
        found.update(answered)
        if not error:
            break
        waiting = [name for name in waiting if name not in answered]
        say(f"{waiting[0] if waiting else 'a VM'} is left out: {' '.join(error.split())}")
        waiting = waiting[1:]
    return found


def say(text: str) -> None:
    """One line on stderr, where Ansible shows it as a warning."""
    sys.stderr.write(f"inventory/vagrant.py: {text}\n")


def ssh_options(machines: list[Machine], directory: Path) -> dict[str, dict[str, str]]:
    """ssh options by VM: what Vagrant said a moment ago of the same VMs in the same state, or what it says now."""
    cache = directory / "flux-inventory.json"
    key = [list(machine) for machine in machines]
    try:
        kept = json.loads(cache.read_text(encoding="utf-8"))
        if kept["key"] == key and 0 <= time.time() - kept["time_s"] < CACHE_S:
            return dict(kept["options"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass  # no cache, or one that another version wrote: ask
    options = ask_vagrant([machine.name for machine in machines])
    if len(options) == len(machines):
        replacement = cache.with_name(f"{cache.name}.{os.getpid()}")
        replacement.write_text(json.dumps({"key": key, "time_s": time.time(), "options": options}), encoding="utf-8")
        replacement.replace(cache)
    return options


def host_variables(machine: Machine, options: dict[str, str]) -> dict[str, object]:
    """Ansible's variables of one VM."""
    arguments = [f"-o {option}" for option in SSH_OPTIONS]
    if "proxycommand" in options:
        arguments.append("-o " + shlex.quote(f"ProxyCommand={options['proxycommand']}"))
    return {
        "ansible_host": options["hostname"],
        "ansible_port": int(options.get("port", "22")),
        "ansible_user": options["user"],
        "ansible_ssh_private_key_file": options["identityfile"].strip('"'),
        "ansible_ssh_common_args": " ".join(arguments),
        "flux_address": machine.address,
    }


def inventory() -> tuple[Variables, Variables]:
    """The variables by host, and hosts and variables by group. Raises LabError."""
    directory = state_directory()
    machines = existing_machines(directory)
    options = ssh_options(machines, directory) if machines else {}
    up = [machine for machine in machines if machine.name in options]
    if not up:
        raise LabError("no VM of the lab is up: run `vagrant up` first, or give -i inventory/your.yml")
    hosts: Variables = {machine.name: host_variables(machine, options[machine.name]) for machine in up}
    groups: Variables = {}
    for group in GROUPS:
        members = [machine.name for machine in up if machine.group == group]
        groups[group] = {"hosts": members, "vars": LAB_VARIABLES.get(group, {})}
    return hosts, groups


def main() -> int:
    """Print what Ansible asked for. 0, or 1 with one line on stderr."""
    parser = argparse.ArgumentParser(description="Ansible inventory of the Vagrant lab.")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--list", action="store_true", help="the whole inventory")
    asked.add_argument("--host", metavar="NAME", help="the variables of one VM")
    arguments = parser.parse_args()
    try:
        hosts, groups = inventory()
    except LabError as error:
        say(str(error))
        return 1
    answer = hosts.get(arguments.host, {}) if arguments.host else {"_meta": {"hostvars": hosts}, **groups}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
