"""`--check` of the daemons: everything that is wrong with their settings at once, and nothing else happens."""

import socket
from pathlib import Path

import pytest

from flux_gateway.cli.main import main

PROGRAMS = ("gateway", "proxy", "dashboard")
HOST = "127.30.4.1"


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A file that is right for all three, with its secrets."""
    (tmp_path / "token").write_text("token-of-the-tests-0123456789")
    (tmp_path / "password").write_text("secret")
    file = tmp_path / "flux.toml"
    sections = "".join(f'[{name}]\nhost = "{HOST}"\ntoken_file = "{tmp_path}/token"\n' for name in PROGRAMS)
    file.write_text(
        f'{sections}[redis]\nhost = "{HOST}"\nusername = "flux"\npassword_file = "{tmp_path}/password"\n'
        'sentinels = ["10.42.0.14:26379", "[fd00::1]:26379"]\nsentinel_service = "flux"\n'
    )
    return file


@pytest.mark.parametrize("program", PROGRAMS)
def test_right_settings_are_ok_and_nothing_is_started(
    program: str, configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Whoever listened would find the port taken.
    with socket.create_server((HOST, {"gateway": 7000, "proxy": 8080, "dashboard": 9090}[program])):
        assert main([program, "--check", "--config", str(configured)]) == 0
    assert capsys.readouterr() == (f"{configured}: ok\n", "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_faults_are_told_at_once(program: str, configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = configured.read_text().replace("/token", "/nothing").replace("/password", "/none")
    configured.write_text(text)
    assert main([program, "--check", "--config", str(configured)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[1].split()[0] for line in err.splitlines()] == ["token_file", "redis.password_file"]
    configured.write_text(text.replace(f'[{program}]\n', f'[{program}]\nporte = 1\n').replace(":26379", ""))
    assert main([program, "--check", "--config", str(configured)]) == 2
    err = capsys.readouterr().err
    assert "porte: unknown setting" in err
    assert "'10.42.0.14' is not host:port" in err


def test_a_token_that_is_too_short_and_a_file_that_is_missing(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (configured.parent / "token").write_text("short")
    assert main(["proxy", "--check", "--config", str(configured)]) == 2
    assert "at least 16 characters" in capsys.readouterr().err
    assert main(["proxy", "--check", "--config", str(configured.parent / "none.toml")]) == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err


def test_flags_are_checked_without_a_file_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--check", "--redis-sentinels", "10.0.0.1:26379,10.0.0.2:26379"]) == 0
    assert capsys.readouterr().out == "settings: ok\n"
    assert main(["gateway", "--check", "--redis-sentinels", "10.0.0.1"]) == 2


def test_a_fault_in_a_flag_of_a_section_names_the_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--check", "--redis-port", "0", "--messaging-default", '{"history_size": "x"}']) == 2
    places = [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()]
    assert places == ["--redis-port", "--messaging-default"]
