"""Settings: a frozen struct per program, filled from default < file < environment < flag, all faults at once.

A settings class is a frozen `msgspec.Struct` whose fields are `Annotated[type, Meta(...)]`: the bounds are checked, the
description becomes the help of the flag and the row in `docs/configuration.md`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import FieldInfo, fields

from flux_gateway.core.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)


def load(
    cls: type[T],
    section: str,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> T:
    """Return the settings of one program.

    `section` is the table of the TOML file and the middle of the environment names (`FLUX_GATEWAY_PORT` for the field
    `port` in section `gateway`). `flags` with value None count as not given. Raises `ConfigError` with every fault.
    """
    known = {field.name: field for field in fields(cls)}
    faults: list[str] = []
    given: dict[str, tuple[str, Any]] = {}
    for name, value in _from_file(file, section, faults).items():
        if name in known:
            given[name] = (f"{file}: [{section}] {name}", value)
        else:
            faults.append(f"{file}: [{section}] {name}: unknown setting; known are {', '.join(sorted(known))}")
    environment = os.environ if environment is None else environment
    prefix = f"FLUX_{section.upper()}_"
    for variable in sorted(environment):
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix):
            if name in known:
                given[name] = (variable, environment[variable])
            else:
                faults.append(f"{variable}: unknown setting; known are {', '.join(sorted(known))}")
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = (f"--{name.replace('_', '-')}", value)
    values = {}
    for name, (origin, value) in given.items():
        try:
            values[name] = msgspec.convert(_split(known[name], value), _hint(cls, name), strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{origin}: {error}")
    missing = [field.name for field in known.values() if field.required and field.name not in given]
    faults += [f"{name}: required, give --{name.replace('_', '-')} or {prefix}{name.upper()}" for name in missing]
    if not faults:
        try:
            return cls(**values)
        except ValueError as error:  # from a settings class's own __post_init__
            faults.append(str(error))
    raise ConfigError(faults)


def _from_file(file: Path | None, section: str, faults: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text()).get(section, {})
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{file}: not valid TOML: {error}")
        return {}
    if not isinstance(table, dict):
        faults.append(f"{file}: [{section}] must be a table")
        return {}
    return table


def _split(field: FieldInfo, value: Any) -> Any:
    """A list setting comes as comma-separated text from the environment and from flags."""
    if isinstance(value, str) and _bare(field.type) in (tuple, list):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return get_origin(hint) or hint


def _hint(cls: type[msgspec.Struct], name: str) -> Any:
    return get_type_hints(cls, include_extras=True)[name]


def describe(cls: type[msgspec.Struct]) -> list[tuple[FieldInfo, type, str]]:
    """Return (field, plain type, description) for each setting: for flags, help and documentation."""
    rows = []
    for field in fields(cls):
        meta = next((m for m in getattr(field.type, "__metadata__", ()) if isinstance(m, msgspec.Meta)), None)
        rows.append((field, _bare(field.type), (meta.description if meta else None) or ""))
    return rows
