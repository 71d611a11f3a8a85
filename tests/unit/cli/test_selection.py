"""Which cluster a command is about."""

from pathlib import Path

import pytest

from flux_gateway.cli.main import main
from flux_gateway.cli.selection import choose
from flux_gateway.supervisor.state_dir import StateDir


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no choice in the environment."""
    for name in ("FLUX_STATE_DIR", "FLUX_DEPLOYED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def path_of(found: StateDir | Path) -> Path:
    return found if isinstance(found, Path) else found.path


def test_what_is_given_comes_first_then_the_directory_here_then_the_file_of_the_host(here: Path) -> None:
    file = here / "flux.toml"
    assert path_of(choose(default=file)) == here / ".flux"  # nothing exists: what `flux up` would make
    file.touch()
    assert choose(default=file) == file
    (here / ".flux").mkdir()
    assert path_of(choose(default=file)) == here / ".flux"
    assert choose(deployed="other.toml", default=file) == Path("other.toml")
    assert path_of(choose(state_dir="s", deployed="other.toml", default=file)) == here / "s"


def test_a_file_called_flux_is_no_state_directory(here: Path) -> None:
    (here / ".flux").touch()
    file = here / "flux.toml"
    file.touch()
    assert choose(default=file) == file


def test_two_flags_are_wrong_usage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state-dir", "a", "--deployed", "b.toml", "status"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_a_flag_goes_before_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX_STATE_DIR", "from-environment")
    assert main(["--deployed", "flag.toml", "status"]) == 2
    assert "flag.toml: cannot be read" in capsys.readouterr().err
    monkeypatch.setenv("FLUX_DEPLOYED", "environment.toml")
    assert main(["--state-dir", "flag", "status"]) == 1
    assert f"no cluster in {here}/flag" in capsys.readouterr().err
    assert main(["status"]) == 1
    assert f"no cluster in {here}/from-environment" in capsys.readouterr().err
    monkeypatch.delenv("FLUX_STATE_DIR")
    assert main(["status"]) == 2
    assert "environment.toml: cannot be read" in capsys.readouterr().err


def test_without_any_cluster_it_says_how_to_get_or_name_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX_STATE_DIR", ".flux")
    for command in ("status", "load"):
        assert main([command]) == 1
        err = capsys.readouterr().err
        assert "flux up" in err
        assert "--deployed" in err
