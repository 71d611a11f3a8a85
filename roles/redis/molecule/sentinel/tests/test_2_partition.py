"""A master that is cut off from the others: it refuses writes, another takes over, it comes back as a replica."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import testinfra
from redis import sentinel
from redis.exceptions import RedisError
from testinfra.host import Host

testinfra_hosts = ["ansible://redis-a"]

PASSWORD = (Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "secrets" / "redis-password").read_text().strip()
PATIENCE = 30.0
"""Seconds for whatever the Sentinels arrange; a fail-over takes 4 to 6."""


ask_sentinels: Any = sentinel.Sentinel
"""redis-py's client of the Sentinels, which has no types."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until it holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < PATIENCE, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.2)


def written(master: Any, value: str) -> bool:
    """Whether the master that the Sentinels name took the value."""
    try:
        return bool(master.set("gateway:molecule", value))
    except RedisError:
        return False


def named(sentinels: Any) -> str:
    """Return the master's address; empty while the Sentinels hold it for down."""
    try:
        return str(sentinels.discover_master("flux")[0])
    except RedisError:
        return ""


def role(address: str) -> tuple[str, str]:
    """Return the role of an instance, and the address of the master it is in touch with."""
    try:
        said = redis.Redis(address, username="flux", password=PASSWORD, socket_timeout=2, decode_responses=True).info(
            "replication"
        )
    except RedisError:
        return "", ""
    return said["role"], said["master_host"] if said.get("master_link_status") == "up" else ""


def test_a_master_that_is_cut_off_gives_way(host: Host, pytestconfig: pytest.Config) -> None:
    inventory = pytestconfig.getoption("ansible_inventory")
    names = host.ansible.get_variables()["groups"]["redis"]
    hosts = {name: testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory) for name in names}
    addresses = {name: str(one.ansible.get_variables()["ansible_host"]) for name, one in hosts.items()}
    login = {"username": "flux", "password": PASSWORD, "socket_timeout": 1.0}
    sentinels = ask_sentinels([(address, 26379) for address in addresses.values()], sentinel_kwargs=login, **login)
    master = sentinels.master_for("flux")
    old = named(sentinels)
    name = next(name for name, address in addresses.items() if address == old)
    until(lambda: written(master, "before"), "the first write")
    cut_off = hosts[name]
    peers = ",".join(address for address in addresses.values() if address != old)
    cut_off.check_output(f"iptables -I INPUT -s {peers} -j DROP && iptables -I OUTPUT -d {peers} -j DROP")
    try:
        others = ask_sentinels([(one, 26379) for one in peers.split(",")], sentinel_kwargs=login, **login)
        until(
            lambda: named(others) not in ("", old) and written(others.master_for("flux"), "after"),
            "another master takes writes",
        )
        ask = f"REDISCLI_AUTH={PASSWORD} redis-cli --user flux SET gateway:molecule lost"
        until(lambda: "NOREPLICAS" in cut_off.check_output(ask), "the one that was cut off refuses writes")
    finally:
        cut_off.check_output(f"iptables -D INPUT -s {peers} -j DROP && iptables -D OUTPUT -d {peers} -j DROP")
    new = named(others)
    until(lambda: role(old) == ("slave", new), "the old master follows the new one")
    assert role(new)[0] == "master"
    assert redis.Redis(old, username="flux", password=PASSWORD).get("gateway:molecule") == b"after"
