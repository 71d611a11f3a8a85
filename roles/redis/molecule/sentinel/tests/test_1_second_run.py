"""Three hosts after a fail-over and another run of the role, seen from each of them; before any further fail-over."""

import os
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError
from testinfra.host import Host

from tests.hosts.checks import SSH, listening, security_exposure

SECRETS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "secrets"


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The address on which other hosts reach this one."""
    return str(host.ansible.get_variables()["ansible_host"])


def client(address: str, user: str, port: int = 6379) -> Any:
    """Return a client of Redis or, on port 26379, of the Sentinel."""
    secret = (SECRETS / f"redis-{'admin-' if user == 'admin' else ''}password").read_text().strip()
    return redis.Redis(address, port, username=user, password=secret, socket_timeout=5, decode_responses=True)


@pytest.fixture
def sentinel(address: str) -> Any:
    """The Sentinel of this host, as the daemons ask it."""
    return client(address, "flux", 26379)


def test_both_run_and_listen_on_two_addresses_only(host: Host, address: str) -> None:
    for name in ("redis-server", "redis-sentinel"):
        assert host.service(name).is_enabled
        assert host.service(name).is_running
    assert listening(host) - SSH == {(place, port) for place in (address, "127.0.0.1") for port in (6379, 26379)}


def test_the_sentinel_names_the_master_and_knows_everybody(sentinel: Any) -> None:
    host, port = sentinel.sentinel_get_master_addr_by_name("flux")
    assert port == 6379
    assert client(host, "flux").info("replication")["role"] == "master"
    known = sentinel.sentinel_master("flux")
    assert known["quorum"] == 2
    assert known["num-other-sentinels"] == 2
    assert known["down-after-milliseconds"] == 3000
    assert known["failover-timeout"] == 10000
    replicas = {replica["ip"] for replica in sentinel.sentinel_slaves("flux")}
    assert len(replicas) == 2
    assert host not in replicas
    assert sentinel.execute_command("SENTINEL", "CKQUORUM", "flux").startswith("OK 3 usable Sentinels")


def test_the_former_master_did_not_become_master_again(host: Host, sentinel: Any) -> None:
    first = host.ansible.get_variables()["groups"]["redis"][0]
    if host.backend.get_hostname() != first:
        assert sentinel.sentinel_get_master_addr_by_name("flux")
        return
    own = str(host.ansible.get_variables()["ansible_host"])
    assert sentinel.sentinel_get_master_addr_by_name("flux")[0] != own
    assert client(own, "flux").info("replication")["role"] == "slave"


def test_the_sentinel_refuses_the_rest(sentinel: Any, address: str) -> None:
    for command in ("SENTINEL FAILOVER flux", "SENTINEL SET flux quorum 1", "SENTINEL REMOVE flux", "ACL LIST"):
        with pytest.raises(NoPermissionError):
            sentinel.execute_command(*command.split())
    with pytest.raises(AuthenticationError):
        redis.Redis(address, 26379).ping()


def test_what_the_master_takes_every_replica_has(sentinel: Any, address: str) -> None:
    master = client(sentinel.sentinel_get_master_addr_by_name("flux")[0], "flux")
    master.set("gateway:molecule", address)
    admin = client(sentinel.sentinel_get_master_addr_by_name("flux")[0], "admin")
    admin.set("gateway:molecule", address)
    assert admin.wait(2, 5000) == 2
    assert client(address, "flux").get("gateway:molecule") == address


def test_replicas_take_no_writes(sentinel: Any, address: str) -> None:
    if sentinel.sentinel_get_master_addr_by_name("flux")[0] == address:
        assert client(address, "admin").config_get("min-replicas-to-write")["min-replicas-to-write"] == "1"
        return
    with pytest.raises(ReadOnlyError):
        client(address, "flux").set("gateway:molecule", "x")


def test_the_sentinels_unit_is_hardened(host: Host) -> None:
    assert security_exposure(host, "redis-sentinel.service") <= 2.0
    assert host.file("/etc/redis/flux-sentinel-users.acl").mode == 0o640
