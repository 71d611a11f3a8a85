"""`flux redis`: user, password, Sentinels, and a host without redis-cli."""

import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import REDIS_PORT, Process, connects, until
from tests.unit.cli.conftest import REPOSITORY, Host

PASSWORD = "password-of-the-test"
SENTINEL_PORT = 26379


@pytest.fixture
def acl(host: Host) -> Iterator[str]:
    """A user `flux` with a password; returns the lines of section `redis` that name it."""
    with host.stack.registry() as redis:
        redis.execute_command("ACL", "SETUSER", "flux", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        file = host.folder / "redis-password"
        file.write_text(PASSWORD + "\n")
        yield f'username = "flux"\npassword_file = "{file}"\n'
        redis.execute_command("ACL", "DELUSER", "flux")


def test_without_a_password_none_is_sent(host: Host) -> None:
    assert host.flux("redis", "PING") == ("PONG\n", "")


def test_the_user_of_the_file_is_who_asks(host: Host, acl: str) -> None:
    host.write(redis=acl)
    assert host.flux("redis", "ACL", "WHOAMI") == ("flux\n", "")
    assert host.flux("redis", "HGET", "gateway:nodes", "gateway-1")[0].startswith("{")


@pytest.fixture
def sentinel(host: Host) -> Iterator[str]:
    """A Sentinel that knows the stack's Redis as `flux`; returns its address."""
    address = host.stack.host(3, 9)
    config = host.folder / "sentinel.conf"
    config.write_text(
        f"bind {address}\nport {SENTINEL_PORT}\ndir {host.folder}\nuser flux on >{PASSWORD} ~* &* +@all\n"
        f"sentinel monitor flux {host.stack.host(3, 1)} {REDIS_PORT} 1\n"
    )
    server = shutil.which("redis-server") or str(Path(sys.executable).parent / "redis-server")
    process = Process("sentinel", [server, str(config), "--sentinel"], host.folder / "sentinel.log")
    try:
        until(lambda: connects((address, SENTINEL_PORT)), "the Sentinel listens")
        yield f"{address}:{SENTINEL_PORT}"
    finally:
        process.end()


def test_sentinels_are_asked_for_the_master(host: Host, acl: str, sentinel: str) -> None:
    # Host and port are wrong: only the Sentinel knows.
    text = host.write(redis=f'{acl}sentinels = ["{host.stack.host(3, 8)}:{SENTINEL_PORT}", "{sentinel}"]').read_text()
    host.file.write_text(text.replace(f"port = {REDIS_PORT}", "port = 1"))
    assert f"tcp_port:{REDIS_PORT}" in host.flux("redis", "INFO", "server")[0]
    assert host.flux("redis", "ACL", "WHOAMI")[0] == "flux\n"
    assert len(host.json("status")["nodes"]) == 2


def test_sentinels_that_are_all_away_are_one_line(host: Host) -> None:
    host.write(redis=f'sentinels = ["{host.stack.host(3, 8)}:{SENTINEL_PORT}"]')
    _, err = host.flux("redis", "PING", status=1)
    assert err.startswith("flux: Redis does not answer: ")
    assert len(err.splitlines()) == 1


def test_a_host_without_redis_cli_says_what_to_install(host: Host) -> None:
    # An interpreter with nothing beside it, as in a release on a host without Redis.
    lonely = host.folder / "python"
    lonely.symlink_to(Path(sys.executable).resolve())
    packages = ":".join([str(REPOSITORY), *site.getsitepackages()])
    done = subprocess.run(
        [str(lonely), "-m", "flux_gateway", "redis", "PING"], capture_output=True, text=True, timeout=30, check=False,
        cwd=host.folder,
        env={**host.environment(), "PATH": str(host.folder), "PYTHONPATH": packages},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("flux: redis-cli is not on this host: apt install redis-tools")
