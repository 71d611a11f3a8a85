"""What the documents say is what the code does."""

import re
import runpy
from pathlib import Path

from flux_gateway.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


def test_the_configuration_page_is_made_from_the_settings() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "configuration_page.py"))["page"]
    assert (ROOT / "docs" / "configuration.md").read_text() == page()


def test_every_relative_link_in_the_documents_leads_somewhere() -> None:
    broken = []
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", document.read_text()):
            if "://" not in target and not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert broken == []


def test_the_readme_names_only_commands_that_exist() -> None:
    named = set(re.findall(r"`flux ([a-z][a-z-]*[a-z])", (ROOT / "README.md").read_text()))
    assert named
    assert named <= COMMANDS.keys()
