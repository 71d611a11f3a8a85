"""One Redis: who may do what, where it listens, and that what was written stays."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from testinfra.host import Host

from flux_gateway.core.lifecycle import NodeState
from flux_gateway.core.membership import NodeRecord
from flux_gateway.core.timeline import Event, EventKind
from flux_gateway.registry.connect import RedisSettings, connect, connect_blocking
from flux_gateway.registry.reader import RegistryReader
from flux_gateway.registry.registry import Registry
from tests.hosts.checks import SSH, listening, security_exposure

SECRETS = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "secrets"
NODE = NodeRecord(id="gateway-1", host="10.42.0.11", port=7000, admin_port=7100, state=NodeState.UP, started_at=1.25)
EVENT = Event(at=1.0, kind=EventKind.JOINED, subject="gateway-1", by="gateway-1")


@pytest.fixture(scope="module")
def address(host: Host) -> str:
    """The address on which other hosts reach this one."""
    return str(host.ansible.get_variables()["ansible_host"])


def client(address: str, user: str | None, password: str | None = None) -> Any:
    """Return a client that says who it is, with the password that the role was given."""
    secret = password if password is not None or user is None else (SECRETS / _FILES[user]).read_text().strip()
    return redis.Redis(host=address, username=user, password=secret, socket_timeout=5, decode_responses=True)


_FILES = {"flux": "redis-password", "admin": "redis-admin-password"}


@pytest.fixture
def flux(address: str) -> Any:
    """A client with the rights of the daemons."""
    return client(address, "flux")


@pytest.fixture
def admin(address: str) -> Any:
    """A client that may do everything."""
    return client(address, "admin")


def settings(address: str) -> RedisSettings:
    """Return what a daemon would have in its configuration."""
    return RedisSettings(host=address, username="flux", password_file=str(SECRETS / "redis-password"))


def test_debians_unit_runs_it(host: Host) -> None:
    unit = host.service("redis-server")
    assert unit.is_enabled
    assert unit.is_running
    assert not host.service("redis-sentinel").is_running
    command = host.check_output("systemctl show -p ExecStart redis-server")
    assert "--include /etc/redis/flux.conf" in command
    assert host.check_output("systemctl show -p FragmentPath --value redis-server").endswith(
        "/lib/systemd/system/redis-server.service"
    )


def test_listens_on_two_addresses_only(host: Host, address: str) -> None:
    assert listening(host) - SSH == {(address, 6379), ("127.0.0.1", 6379)}


def test_nobody_enters_without_a_user(address: str) -> None:
    with pytest.raises(AuthenticationError):
        client(address, None).ping()
    with pytest.raises(AuthenticationError):
        client(address, "default", "").ping()
    with pytest.raises(AuthenticationError):
        client(address, "flux", "a guess").ping()


def test_the_daemons_find_all_their_commands_allowed(address: str) -> None:
    asyncio.run(_registry_round(address))
    reader = RegistryReader(connect_blocking(settings(address)), heartbeat_life=15.0)
    assert reader.timeline()[0].kind is EventKind.FORGOTTEN
    reader.history("gateway-1")
    assert next(reader.follow(0.1)) is None
    assert not reader.forget("gateway-1", "test")
    reader.close()


async def _registry_round(address: str) -> None:
    registry = Registry(connect(settings(address)), heartbeat_life=15.0, clock=lambda: 1e10)
    heard = asyncio.ensure_future(anext(registry.events()))
    while not heard.done():
        # A subscription says nothing of itself: what is said before it is heard by nobody.
        await registry.announce(NODE, EVENT, history=10)
        await asyncio.wait([heard], timeout=0.1)
    assert heard.result() == EVENT
    assert (await registry.snapshot()).nodes["gateway-1"] == NODE
    await registry.say(EVENT)
    stale = (await registry.snapshot()).__class__({"gateway-1": NODE}, {}, {})
    assert await registry.declare_dead(stale, "test") == []
    stopped = NodeRecord(id="gateway-1", host="h", port=1, admin_port=2, state=NodeState.STOPPED, started_at=1.25)
    await registry.announce(stopped)
    assert await registry.forget_old(await registry.snapshot(), "test") == ["gateway-1"]
    await registry.close()


def test_a_look_by_hand_is_allowed(flux: Any) -> None:
    assert flux.hset("gateway:molecule", "field", "value") in (0, 1)
    assert flux.hgetall("gateway:molecule") == {"field": "value"}
    assert flux.info("replication")["role"] == "master"
    assert flux.delete("gateway:molecule") == 1


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "CONFIG GET *", "CONFIG SET maxmemory 1", "KEYS *", "SHUTDOWN", "ACL LIST",
        "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "REPLICAOF NO ONE", "SAVE", "SCRIPT FLUSH",
        "FUNCTION LIST", "MODULE LIST", "GET other:key", "SET other:key 1", "HSET gatewaynodes a b", "HGETALL other",
        "DEL other", "PUBLISH other x", "SUBSCRIBE other", "PSUBSCRIBE *",
    ],
)  # fmt: skip
def test_the_daemons_may_do_nothing_else(flux: Any, command: str) -> None:
    with pytest.raises(NoPermissionError):
        flux.execute_command(*command.split())


@pytest.mark.parametrize("script", ["redis.call('FLUSHALL')", "redis.call('SET', 'other', '1')"])
def test_scripts_have_no_more_rights(flux: Any, script: str) -> None:
    with pytest.raises(ResponseError, match=r"ACL failure in script|The user executing the script can't"):
        flux.eval(script, 0)


def test_settings_are_those_of_the_role(admin: Any) -> None:
    wanted = {
        "protected-mode": "yes", "appendonly": "yes", "appendfsync": "everysec", "maxmemory": str(256 << 20),
        "maxmemory-policy": "noeviction", "min-replicas-to-write": "0", "databases": "1", "tcp-backlog": "1024",
        "timeout": "0", "tcp-keepalive": "60", "maxclients": "10000", "save": "3600 1 300 100 60 10000",
    }  # fmt: skip
    assert {name: admin.config_get(name)[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("path", "owner", "group", "mode"),
    [
        ("/etc/redis/flux-users.acl", "root", "redis", 0o640),
        ("/etc/redis/flux.conf", "root", "redis", 0o640),
        ("/etc/redis/flux-start.conf", "root", "redis", 0o640),
        ("/etc/redis/flux-admin-password", "root", "root", 0o600),
    ],
)
def test_files_are_closed(host: Host, path: str, owner: str, group: str, mode: int) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == (owner, group, mode)


def test_no_password_lies_about_in_clear(host: Host) -> None:
    users = host.file("/etc/redis/flux-users.acl").content_string
    for file in _FILES.values():
        assert (SECRETS / file).read_text().strip() not in users
    assert host.file("/etc/redis/flux-admin-password").content_string.strip() == (
        SECRETS / "redis-admin-password"
    ).read_text().strip()  # fmt: skip


@pytest.mark.parametrize("ending", ["systemctl restart redis-server", "systemctl kill -s KILL redis-server"])
def test_what_was_written_stays(host: Host, admin: Any, flux: Any, ending: str) -> None:
    mark = str(time.time())
    flux.set("gateway:molecule", mark, ex=300)
    assert admin.execute_command("WAITAOF", 1, 0, 3000) if _newer(admin) else _wait_for_disk(admin)
    before = admin.info("server")["process_id"]
    host.check_output(ending)
    deadline = time.monotonic() + 15
    while _process(admin) in (None, before):
        assert time.monotonic() < deadline, "Redis did not come back"
        time.sleep(0.1)
    assert flux.get("gateway:molecule") == mark
    flux.delete("gateway:molecule")


def _process(admin: Any) -> int | None:
    try:
        return int(admin.info("server")["process_id"])
    except redis.ConnectionError:
        return None


def _newer(admin: Any) -> bool:
    """Whether it is 7.2 or newer, which has WAITAOF."""
    major, minor, *_ = admin.info("server")["redis_version"].split(".")
    return (int(major), int(minor)) >= (7, 2)


def _wait_for_disk(admin: Any) -> bool:
    """Wait until no write waits for the disk any more: with everysec that is 2 s at most."""
    deadline = time.monotonic() + 5
    time.sleep(1.1)
    while admin.info("persistence")["aof_pending_bio_fsync"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return True


def test_debians_unit_is_hardened_further(host: Host) -> None:
    assert security_exposure(host, "redis-server.service") <= 2.0
    # Of its own files it may write the data, not the settings and users.
    pid = host.check_output("systemctl show -p MainPID --value redis-server")
    for path, options in (("/etc/redis", "ro,"), ("/var/lib/redis", "rw,")):
        assert host.check_output(f"findmnt -N {pid} -T {path} -no OPTIONS").startswith(options)
