"""`supervisor.messaging`: the section that every node of a cluster on one machine gets, as the node reads it."""

from pathlib import Path

import pytest

from flux_gateway.core.errors import CommandError
from flux_gateway.gateway.messaging.secret_files import read_secrets
from flux_gateway.gateway.messaging.settings import MessagingSettings
from flux_gateway.runtime import config
from flux_gateway.supervisor import messaging, topology
from flux_gateway.supervisor.settings import ClusterSettings
from flux_gateway.supervisor.state_dir import StateDir

CLUSTER = ClusterSettings(network=30)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    made.create()
    return made


def configured(number: int, state: StateDir) -> MessagingSettings:
    """What a node reads."""
    program = topology.gateway(number, CLUSTER, state)
    return config.load(MessagingSettings, "messaging", file=Path(program.argv[-1]), environment={})


def test_without_a_file_everything_can_be_tried_out_with_a_token(state: StateDir) -> None:
    settings = configured(1, state)
    assert read_secrets(settings).api_key == state.api_key.read_text().strip()
    assert settings.token_hmac_file == str(state.messaging_secret)
    assert not settings.anonymous
    default, chat = settings.default, settings.namespaces["chat"]
    assert list(settings.namespaces) == ["chat"]
    assert default.allow_subscribe_for_client
    assert default.allow_publish_for_client
    assert default.presence
    assert not default.recoverable
    assert (chat.history_size, chat.history_ttl) == (100, 3600)
    assert chat.force_recovery
    assert chat.force_positioning
    assert chat.presence
    assert chat.join_leave
    for action in ("subscribe", "publish", "presence", "history"):
        assert getattr(chat, f"allow_{action}_for_client")
        assert not getattr(chat, f"allow_{action}_for_anonymous")


def test_what_was_given_replaces_the_default_and_holds_for_nodes_that_come_later(state: StateDir) -> None:
    state.messaging.write_text('[messaging]\nanonymous = true\n[messaging.namespaces."a.b"]\npresence = true\n')
    for number in (1, 7):
        settings = configured(number, state)
        assert settings.anonymous
        assert {name: rules.presence for name, rules in settings.namespaces.items()} == {"a.b": True}
        assert not settings.default.allow_subscribe_for_client
        assert read_secrets(settings).api_key == state.api_key.read_text().strip()


def test_given_secrets_win_and_their_paths_are_relative_to_the_file(tmp_path: Path, state: StateDir) -> None:
    (tmp_path / "mine.key").write_text("0123456789abcdef")
    file = tmp_path / "chat.toml"
    file.write_text('[messaging]\napi_key_file = "mine.key"\ntoken_hmac_file = ""\n')
    table = messaging.read(file)
    assert table == {"api_key_file": str(tmp_path / "mine.key"), "token_hmac_file": ""}
    state.messaging.write_text(topology.toml({"messaging": table}))
    assert messaging.api_key_file(state) == str(tmp_path / "mine.key")
    assert configured(1, state).token_hmac_file == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no table \\[messaging\\]"),
        ("messaging = 1", "no table \\[messaging\\]"),
        ("[messaging]\n[gateway]\nport = 1\n", "only \\[messaging\\] can be given, not \\[gateway\\]"),
        ("[messaging", "not valid TOML"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_use_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "chat.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CommandError, match=f"chat.toml: .*{said}"):
        messaging.read(file)
