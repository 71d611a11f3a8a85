"""Section `messaging` of the nodes of a cluster on one machine: its own secrets, and what `flux up` was given.

What the options mean is the nodes' business: this part only passes them on.
"""

import copy
import tomllib
from pathlib import Path
from typing import Any

from flux_gateway.core.errors import CommandError
from flux_gateway.supervisor.state_dir import StateDir

_DEFAULT: dict[str, Any] = {
    "anonymous": False,
    "default": {
        "presence": True,
        "allow_subscribe_for_client": True,
        "allow_publish_for_client": True,
        "allow_presence_for_subscriber": True,
    },
    "namespaces": {
        "chat": {
            "presence": True,
            "join_leave": True,
            "history_size": 100,
            "history_ttl": 3600,
            "force_positioning": True,
            "force_recovery": True,
            "allow_subscribe_for_client": True,
            "allow_publish_for_client": True,
            "allow_presence_for_client": True,
            "allow_history_for_client": True,
        }
    },
}
"""What holds where nothing is given: enough to try everything out, for clients with a token."""


def section(state: StateDir) -> dict[str, Any]:
    """Return the section `messaging` of every node's configuration file."""
    given = read(state.messaging) if state.messaging.exists() else copy.deepcopy(_DEFAULT)
    return {"token_hmac_file": str(state.messaging_secret), "api_key_file": str(state.api_key), **given}


def api_key_file(state: StateDir) -> str:
    """Return the path of the file with the key of the cluster's HTTP API."""
    return str(section(state)["api_key_file"])


def read(file: Path) -> dict[str, Any]:
    """Return the table `messaging` of a TOML file, the only one that may be there; nothing in it is judged.

    Paths in it are relative to the file's folder, and returned absolute. Raises `CommandError`.
    """
    try:
        tables = tomllib.loads(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{file}: not valid TOML: {error}") from error
    table = tables.pop("messaging", None)
    if not isinstance(table, dict):
        raise CommandError(f"{file}: there is no table [messaging]; docs/configuration.md shows what it may hold")
    if tables:
        raise CommandError(f"{file}: only [messaging] can be given, not {', '.join(f'[{name}]' for name in tables)}")
    folder = file.absolute().parent
    for name, value in table.items():
        if name.endswith("_file") and isinstance(value, str) and value:
            table[name] = str(folder / value)
    return table
