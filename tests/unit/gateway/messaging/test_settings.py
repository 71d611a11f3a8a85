"""Section `messaging`: nested tables from every source, and all that is wrong with them at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from flux_gateway.core.errors import ConfigError
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.messaging.namespaces import Namespace
from flux_gateway.runtime.config import load

TOML = """
[messaging]
anonymous = true
[messaging.default]
presence = true
[messaging.namespaces.chat]
history_size = 10
history_ttl = 3600
"""


def read(toml: str = "", tmp: Path | None = None, environment: dict[str, str] | None = None, **flags: Any) -> Any:
    file = None
    if tmp:
        file = tmp / "flux.toml"
        file.write_text(toml)
    return load(
        MessagingSettings, "messaging", file=file, environment=environment or {}, flags=flags, flag_prefix="messaging-"
    )


def faults(*args: Any, **kwargs: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        read(*args, **kwargs)
    return error.value.faults


def test_the_defaults_hold() -> None:
    settings = read()
    assert settings == MessagingSettings()
    assert settings.default == Namespace()
    assert settings.namespaces == {}


def test_members_of_a_redis_cluster_and_what_is_wrong_with_them() -> None:
    settings = read(redis_cluster=("redis-1:7000", "[::1]:7001"))
    assert settings.cluster_addresses() == [("redis-1", 7000), ("::1", 7001)]
    assert read().cluster_addresses() == []
    (fault,) = faults(redis_cluster=("redis-1", "redis-2:7000", "redis-3:0"), ping_timeout=30.0)
    for wrong in ("redis_cluster: 'redis-1' is not host:port", "redis_cluster: 'redis-3:0'", "ping_timeout"):
        assert wrong in fault


def test_tables_of_the_file(tmp_path: Path) -> None:
    settings = read(TOML, tmp_path)
    assert settings.anonymous
    assert settings.default == Namespace(presence=True)
    assert settings.namespaces == {"chat": Namespace(history_size=10, history_ttl=3600.0)}
    name, rules = settings.channels().rules("chat:x")
    assert (name.rest, rules) == ("x", settings.namespaces["chat"])


def test_json_from_the_environment_and_flags_replaces_the_file_s_table(tmp_path: Path) -> None:
    environment = {
        "FLUX_MESSAGING_DEFAULT": '{"join_leave": true}',
        "FLUX_MESSAGING_NAMESPACES": '{"a": {}, "b": {"presence": "1"}}'
    }  # fmt: skip
    settings = read(TOML, tmp_path, environment)
    assert settings.default == Namespace(join_leave=True)
    assert settings.namespaces == {"a": Namespace(), "b": Namespace(presence=True)}
    assert read(TOML, tmp_path, environment, namespaces='{"c": {}}').namespaces == {"c": Namespace()}


def test_every_fault_says_where_it_is(tmp_path: Path) -> None:
    toml = """
    [messaging]
    colour = 1
    ping_interval = 1.5
    [messaging.default]
    presnce = true
    history_size = -1
    [messaging.namespaces.chat]
    force_recovery = true
    [messaging.namespaces.news]
    channel_regex = "["
    history_ttl = "long"
    [messaging.namespaces]
    odd = 3
    """
    found = faults(toml, tmp_path)
    file = tmp_path / "flux.toml"
    places = [fault.removeprefix(f"{file}: ").split(":")[0] for fault in found]
    assert sorted(places) == sorted([
        "[messaging] colour", "[messaging] ping_interval", "[messaging.default] presnce",
        "[messaging.default] history_size", "[messaging.namespaces] chat", "[messaging.namespaces.news] history_ttl",
        "[messaging.namespaces] odd",
    ])  # fmt: skip
    assert "unknown setting; known are allow_history" in next(fault for fault in found if "presnce" in fault)


def test_faults_in_json() -> None:
    environment = {"FLUX_MESSAGING_NAMESPACES": '{"a": {"history_size": "x", "b": 1}}', "FLUX_MESSAGING_INSECURE": "so"}
    assert [fault.split(": ")[:2] for fault in faults(environment=environment, default="{")] == [
        ["FLUX_MESSAGING_INSECURE", "Expected `bool`, got `str`"],
        ["FLUX_MESSAGING_NAMESPACES", "a.history_size"],
        ["FLUX_MESSAGING_NAMESPACES", "a.b"],
        ["--messaging-default", "Input data was truncated"],
    ]
    assert faults(default="[]") == ("--messaging-default: must be a table",)
    assert faults(namespaces='{"a": []}') == ("--messaging-namespaces: a: must be a table",)


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        ({"ping_interval": "8", "ping_timeout": "8"}, "ping_timeout (8) must be shorter"),
        ({"presence_ttl": "25"}, "presence_interval (25) must be shorter"),
        ({"namespaces": '{"a:b": {}}'}, "'a:b' is no name"),
        ({"namespaces": '{"": {}}'}, "'' is no name"),
        ({"personal_channel_namespace": "me"}, "there is no namespace 'me'"),
        ({"default": '{"subscribe_proxy_enabled": true}'}, "(default) needs webhook_subscribe_url"),
        ({"namespaces": '{"a": {"publish_proxy_enabled": true}}'}, "(a) needs webhook_publish_url"),
        ({"webhook_headers": "Authorization,Content-Length"}, "'Content-Length' cannot be passed on"),
        ({"webhook_headers": "A B"}, "'A B' cannot be passed on"),
        ({"webhook_rpc_url": "ftp://x"}, "--messaging-webhook-rpc-url: "),
        ({"token_jwks_url": "example.org"}, "--messaging-token-jwks-url: "),
    ],
)
def test_what_contradicts_itself(flags: dict[str, str], fault: str) -> None:
    (found,) = faults(**flags)
    assert fault in found


def test_contradictions_are_told_together() -> None:
    (found,) = faults(presence_ttl="1", personal_channel_namespace="me")
    assert "presence_ttl" in found
    assert "'me'" in found


def test_webhooks_of_a_namespace() -> None:
    settings = read(
        namespaces=json.dumps({"a": {"subscribe_proxy_enabled": True}}), webhook_subscribe_url="http://127.0.0.1:1/s"
    )
    assert settings.namespaces["a"].subscribe_proxy_enabled
