"""`supervisor.state_dir`: secrets that only the owner can read, kept for good."""

import os
import stat
from pathlib import Path

import pytest

from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.state_dir import StateDir


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_directories_and_secrets_are_the_owner_s_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = StateDir(tmp_path / "deep" / "state")
        state.create()
    finally:
        os.umask(before)
    for directory in (state.path, state.configs, state.logs, state.redis, state.keepers):
        assert mode(directory) == 0o700
    for file in (state.token, state.redis_password, state.messaging_secret, state.api_key):
        assert mode(file) == 0o600
        assert len(file.read_text().strip()) >= 32


def test_secrets_differ_and_are_kept_on_the_second_create(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.create()
    first = (state.token.read_text(), state.redis_password.read_text())
    assert first[0] != first[1]
    StateDir(tmp_path).create()
    assert (state.token.read_text(), state.redis_password.read_text()) == first


def test_a_lost_secret_is_made_anew_and_the_other_kept(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.create()
    token = state.token.read_text()
    state.redis_password.unlink()
    state.create()
    assert state.redis_password.read_text().strip()
    assert state.token.read_text() == token


def test_nothing_is_created_before_create(tmp_path: Path) -> None:
    StateDir(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("old and longer")
    file.chmod(0o644)
    StateDir.write_private(file, "new")
    assert file.read_text() == "new"
    assert mode(file) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="--state-dir"):
        StateDir(tmp_path / ("x" * 100))


def test_a_path_that_cannot_be_created_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="Not a directory"):
        StateDir(tmp_path / "file" / "state").create()


def test_a_relative_path_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert StateDir("state").path == tmp_path / "state"
