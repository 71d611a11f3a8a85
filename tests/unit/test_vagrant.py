"""The lab's Vagrantfile and its inventory, with a stand-in for `vagrant`: the real one is `./test.sh --vagrant`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "inventory" / "vagrant.py"

# Answers like Vagrant 2.3.4: it prints the machines in the order asked and stops at the first that is not up.
STAND_IN = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with open(here / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
for name in sys.argv[2:]:
    if name in json.loads((here / "halted").read_text()):
        sys.exit("The provider for this Vagrant-managed machine is reporting that it\\nis not yet ready for SSH.")
    print(f"Host {{name}}\\n  HostName 192.168.121.7\\n  User vagrant\\n  Port 2200\\n"
          "  UserKnownHostsFile /dev/null\\n  StrictHostKeyChecking no\\n  PasswordAuthentication no\\n"
          f'  IdentityFile "/keys of mine/{{name}}"\\n  IdentityFile /second\\n'
          "  IdentitiesOnly yes\\n  LogLevel FATAL\\n")
"""
LAB = {"lb1": "proxies", "gw1": "gateways", "gw2": "gateways", "redis1": "redis", "dash1": "dashboard"}


class Lab:
    """The state that Vagrant keeps of some VMs, and a `vagrant` on PATH that knows them."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.state = directory / "state"
        self.bin.mkdir()
        stand_in = self.bin / "vagrant"
        stand_in.write_text(STAND_IN.format(python=sys.executable))
        stand_in.chmod(0o755)
        self.halt()

    def halt(self, *names: str) -> None:
        """These VMs are not up, all others are."""
        (self.bin / "halted").write_text(json.dumps(names))

    def make(self, name: str, *, noted: bool = True) -> Path:
        """A VM that exists. `noted`: it was up, so that the Vagrantfile left its note."""
        directory = self.state / "machines" / name / "libvirt"
        directory.mkdir(parents=True)
        (directory / "id").write_text("0f2c")
        if noted:
            (directory / "flux.json").write_text(json.dumps({"group": LAB[name], "address": f"192.168.56.{len(name)}"}))
        return directory

    def run(self, *arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """The inventory script, started as Ansible starts it."""
        environment = {"PATH": path or f"{self.bin}:{os.environ['PATH']}", "VAGRANT_DOTFILE_PATH": str(self.state)}
        command = [sys.executable, str(INVENTORY), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)

    def listed(self) -> Any:
        """What `--list` answers."""
        done = self.run("--list")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def calls(self) -> list[str]:
        """How `vagrant` was called so far."""
        return (self.bin / "calls").read_text().splitlines()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def whole_lab(lab: Lab) -> Lab:
    for name in LAB:
        lab.make(name)
    return lab


def test_every_vm_is_in_its_group_with_the_way_in_and_its_private_address(whole_lab: Lab) -> None:
    listed = whole_lab.listed()
    assert listed["gateways"]["hosts"] == ["gw1", "gw2"]
    assert [listed[group]["hosts"] for group in ("redis", "proxies", "dashboard")] == [["redis1"], ["lb1"], ["dash1"]]
    assert listed["_meta"]["hostvars"].keys() == LAB.keys()
    assert listed["_meta"]["hostvars"]["redis1"] == {
        "ansible_host": "192.168.121.7",
        "ansible_port": 2200,
        "ansible_user": "vagrant",
        "ansible_ssh_private_key_file": "/keys of mine/redis1",
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        " -o IdentitiesOnly=yes",
        "flux_address": "192.168.56.6",
    }
    assert whole_lab.calls() == ["ssh-config dash1 gw1 gw2 lb1 redis1"]


def test_what_the_forwarded_ports_lead_to_listens_on_every_address(whole_lab: Lab) -> None:
    listed = whole_lab.listed()
    assert listed["dashboard"]["vars"] == {"dashboard_host": "0.0.0.0"}
    assert "0.0.0.0" in listed["proxies"]["vars"].values()
    assert listed["gateways"]["vars"] == listed["redis"]["vars"] == {}


def test_vagrant_is_asked_once_until_a_vm_is_made_or_started_anew(whole_lab: Lab) -> None:
    first = whole_lab.listed()
    assert whole_lab.listed() == first
    assert len(whole_lab.calls()) == 1
    note = whole_lab.state / "machines" / "gw1" / "libvirt" / "flux.json"
    os.utime(note, ns=(1, 1))
    assert whole_lab.listed() == first
    assert len(whole_lab.calls()) == 2


def test_a_cache_that_cannot_be_read_is_made_anew(whole_lab: Lab) -> None:
    (whole_lab.state / "flux-inventory.json").write_text("{")
    assert whole_lab.listed()["redis"]["hosts"] == ["redis1"]
    assert len(whole_lab.calls()) == 1


def test_a_vm_that_is_not_up_is_left_out_and_named(whole_lab: Lab) -> None:
    whole_lab.halt("gw1")
    done = whole_lab.run("--list")
    assert done.returncode == 0
    assert json.loads(done.stdout)["_meta"]["hostvars"].keys() == LAB.keys() - {"gw1"}
    assert done.stderr.count("\n") == 1
    assert "gw1 is left out" in done.stderr
    # What is missing is asked for again the next time: the VM may be up by then.
    whole_lab.halt()
    assert whole_lab.listed()["gateways"]["hosts"] == ["gw1", "gw2"]


def test_one_host_can_be_asked_for(whole_lab: Lab) -> None:
    assert json.loads(whole_lab.run("--host", "gw2").stdout)["flux_address"] == "192.168.56.3"
    assert json.loads(whole_lab.run("--host", "nobody").stdout) == {}


def test_without_any_vm_it_says_what_to_do(lab: Lab) -> None:
    done = lab.run("--list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "inventory/vagrant.py: no VM of the lab is up: run `vagrant up` first, or give -i inventory/your.yml\n"
    )


def test_with_every_vm_halted_it_says_what_to_do(lab: Lab) -> None:
    lab.make("lb1")
    lab.halt("lb1")
    done = lab.run("--list")
    assert done.returncode == 1
    assert "run `vagrant up` first" in done.stderr.splitlines()[-1]


def test_a_vm_that_never_came_up_completely_is_named(lab: Lab) -> None:
    lab.make("gw1", noted=False)
    done = lab.run("--list")
    assert done.returncode == 1
    assert done.stderr == "inventory/vagrant.py: VM gw1 was never up completely: run `vagrant up` again\n"


def test_without_vagrant_it_says_what_to_do(whole_lab: Lab, tmp_path: Path) -> None:
    done = whole_lab.run("--list", path=str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert done.stderr.startswith("inventory/vagrant.py: no `vagrant` here: install it and run `vagrant up`")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("ruby") is None, reason="needs ruby")
def test_the_vagrantfile_is_ruby() -> None:
    done = subprocess.run(["ruby", "-wc", ROOT / "Vagrantfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Syntax OK\n", "")


# Enough of Vagrant to run the Vagrantfile: every call is written down, every block is run.
RUBY = """
require "json"
class Note < BasicObject
  def initialize(path, notes) = (@path, @notes = path, notes)
  def method_missing(name, *arguments, **options, &block)
    path = "#{@path}.#{name}"
    @notes << [path, *arguments, options] unless arguments.empty? && options.empty?
    note = ::Note.new(path, @notes)
    block.call(*([note] * block.arity)) if block
    note
  end
  def respond_to_missing?(*) = true
end
module Vagrant
  def self.configure(_) = yield(Note.new("config", NOTES))
end
NOTES = []
load ARGV[0]
puts JSON.generate(NOTES)
"""


def read_vagrantfile(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the Vagrantfile with these variables; prints the calls it made."""
    command = ["ruby", "-e", RUBY, str(ROOT / "Vagrantfile")]
    environment = {"PATH": os.environ["PATH"], "VAGRANT_DOTFILE_PATH": "/nonexistent", **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def vagrantfile_calls(path: str, **environment: str) -> list[Any]:
    """The arguments of every call of this path, in order."""
    done = read_vagrantfile(**environment)
    assert done.returncode == 0, done.stderr
    return [call[1:] for call in json.loads(done.stdout) if call[0] == path]


@pytest.mark.skipif(shutil.which("ruby") is None, reason="needs ruby")
class TestTheVagrantfile:
    """The machines it defines, with Vagrant replaced by something that writes every call down."""

    def test_defines_six_vms_with_a_private_address_each(self) -> None:
        assert {call[0] for call in vagrantfile_calls("config.vm.define")} == {*LAB, "gw3"}
        networks = vagrantfile_calls("config.vm.define.vm.network")
        addresses = [call[1]["ip"] for call in networks if call[0] == "private_network"]
        assert len(set(addresses)) == 6
        assert all(address.startswith("192.168.56.") for address in addresses)

    def test_needs_less_than_four_gigabytes(self) -> None:
        memory = [call[0] for call in vagrantfile_calls("config.vm.provider.memory=")]
        assert len(memory) == 2, "VirtualBox and libvirt"
        assert 6 * max(memory) < 4096

    def test_forwards_the_ports_of_proxy_and_dashboard_on_loopback_only(self) -> None:
        networks = vagrantfile_calls("config.vm.define.vm.network", FLUX_LAB_DASHBOARD_PORT="9999")
        forwarded = [call[1] for call in networks if call[0] == "forwarded_port"]
        assert forwarded == [
            {"guest": 8080, "host": 8080, "host_ip": "127.0.0.1"},
            {"guest": 9090, "host": 9999, "host_ip": "127.0.0.1"},
        ]

    def test_notes_group_and_private_address_of_each_vm_for_the_inventory(self) -> None:
        assert vagrantfile_calls("config.vm.define.trigger.after") == [[["up", "reload"], {}]] * 6
        written = vagrantfile_calls(
            "config.vm.define.trigger.after.ruby.data_dir.join.write", FLUX_LAB_NETWORK="10.9.8"
        )
        notes = [json.loads(call[0]) for call in written]
        assert {note["group"] for note in notes} == {*LAB.values()}
        assert {note["address"].rpartition(".")[0] for note in notes} == {"10.9.8"}

    def test_a_gateway_that_exists_stays_defined(self, tmp_path: Path) -> None:
        Lab(tmp_path).make("gw2")
        names = [
            call[0]
            for call in vagrantfile_calls(
                "config.vm.define", FLUX_LAB_GATEWAYS="1", VAGRANT_DOTFILE_PATH=str(tmp_path / "state")
            )
        ]
        assert sorted(names) == ["dash1", "gw1", "gw2", "lb1", "redis1"]

    @pytest.mark.parametrize(
        ("name", "value"),
        [("FLUX_LAB_GATEWAYS", "no"), ("FLUX_LAB_GATEWAYS", "0"), ("FLUX_LAB_NETWORK", "192.168.56.0/24")],
    )
    def test_a_setting_that_makes_no_sense_is_named(self, name: str, value: str) -> None:
        done = read_vagrantfile(**{name: value})
        assert done.returncode == 1
        assert done.stderr.startswith(f"Vagrantfile: {name} must be ")
        assert done.stderr.count("\n") == 1
