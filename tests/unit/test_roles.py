"""Every role documents its variables, and playbooks say what they are for."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def test_there_are_the_roles_of_the_design() -> None:
    assert {role.name for role in ROLES} >= {"common", "gateway", "proxy", "haproxy_lb", "redis", "dashboard"}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_name_the_same_variables(role: Path) -> None:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(load(role / "defaults/main.yml")) == set(options)
    assert all(option.get("description") and option.get("type") for option in options.values())


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_s_variables_bear_its_name(role: Path) -> None:
    assert [name for name in load(role / "defaults/main.yml") if not name.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_is_explained_where_it_stands(role: Path) -> None:
    lines = (role / "defaults/main.yml").read_text().splitlines()
    bare = []
    for number, line in enumerate(lines):
        if line[:1].isalpha() and not lines[number - 1].startswith("#"):
            bare.append(line)
    assert bare == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_has_a_scenario_whose_tests_exist(role: Path) -> None:
    scenario = role / "molecule/default"
    assert (scenario / "molecule.yml").exists()
    assert list(scenario.glob("tests/test_*.py"))


@pytest.mark.parametrize(
    "playbook", [*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "playbooks/drills").glob("*.yml")],
    ids=lambda file: file.stem,
)  # fmt: skip
def test_every_playbook_says_when_and_how(playbook: Path) -> None:
    head = "\n".join(line for line in playbook.read_text().splitlines()[:20] if line.startswith("#"))
    assert "# When:" in head
    assert "# How:" in head
    assert "ansible-playbook" in head


def test_no_secret_is_in_the_inventory() -> None:
    values = load(ROOT / "inventory/group_vars/all.yml")
    secrets = ("flux_token", "flux_redis_password", "flux_redis_admin_password", "flux_messaging_hmac", "flux_api_key")
    for name in secrets:
        assert values[name].startswith("{{ lookup('ansible.builtin.password', flux_secrets_dir")


def test_the_daemons_redis_user_may_do_what_the_scripts_do() -> None:
    allowed = set(re.findall(r"\+([a-z]+)", load(ROOT / "roles/redis/vars/main.yml")["_redis_flux_commands"]))
    scripts = "\n".join(file.read_text() for file in (ROOT / "flux_gateway").rglob("*.lua"))
    called = {name.lower() for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)", scripts)}
    assert {"hset", "set"} <= called
    assert called - allowed == set()


def test_argument_specs_name_only_variables_that_every_inventory_has() -> None:
    """Ansible resolves the defaults in them: one that is not there ends the deployment."""
    named = {
        name for role in ROLES for name in re.findall(r"\bflux_\w+", " ".join(_templates(role)))
    }  # fmt: skip
    assert named <= {"flux_address", *load(ROOT / "inventory/group_vars/all.yml")}


def _templates(role: Path) -> list[str]:
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return [str(option["default"]) for option in options.values() if "{{" in str(option.get("default", ""))]
