"""What every command has: a line in the list, and a help with an example."""

import pytest
from click.testing import CliRunner

from flux_gateway.cli.main import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Example:" in result.output
    assert f"flux {name}" in result.output or f"flux --state-dir .flux {name}" in result.output
    assert COMMANDS[name] in CliRunner().invoke(cli, ["--help"], terminal_width=200).output
