"""`cli.load_report`: the report file."""

import json
import os
from pathlib import Path

import pytest

from flux_gateway.cli.load_report import Outcome, write_file
from flux_gateway.core.errors import CommandError
from flux_gateway.load import LoadPlan
from tests.unit.load.test_verdict import report

OUTCOME = Outcome(plan=LoadPlan(url="ws://127.0.0.1/"), report=report(lost=1), newcomers=None, broken=["it broke"])


def test_the_file_replaces_an_old_one_and_is_readable_by_all(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    file.write_text("old, and longer than nothing")
    before = os.umask(0o077)
    try:
        write_file(file, OUTCOME)
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o644
    written = json.loads(file.read_text())
    assert (written["ok"], written["clean"], written["broken"]) == (False, False, ["it broke"])


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(CommandError, match=r"report\.json cannot be written: Is a directory"):
        write_file(tmp_path / "report.json", OUTCOME)
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]
