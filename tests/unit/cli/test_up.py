"""`flux up --messaging`: what a node would object to is said before anything starts."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from flux_gateway.cli.main import cli
from flux_gateway.core.errors import CommandError, ConfigError


def faults(tmp_path: Path, text: str) -> str:
    """What is said about a file; nothing may have been created."""
    file = tmp_path / "chat.toml"
    file.write_text(text)
    result = CliRunner().invoke(cli, ["up", "--state-dir", str(tmp_path / "state"), "--messaging", str(file)])
    assert isinstance(result.exception, (ConfigError, CommandError)), result.output
    assert not (tmp_path / "state").exists()
    return str(result.exception)


def test_every_fault_of_the_file_is_said_with_its_place(tmp_path: Path) -> None:
    said = faults(tmp_path, '[messaging]\nport = 1\n[messaging.namespaces.chat]\nhistory_size = "many"\n')
    assert "chat.toml: [messaging] port: unknown setting" in said
    assert "chat.toml: [messaging.namespaces.chat] history_size:" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[messaging]\ntoken_public_key_file = "missing.pem"\n', "missing.pem: No such file"),
        ("[messaging]\n[redis]\nport = 1\n", "only [messaging] can be given"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, text: str, said: str) -> None:
    assert said in faults(tmp_path, text)
