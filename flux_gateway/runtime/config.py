"""Settings: a frozen struct per program, filled from default < file < environment < flag, all faults at once.

A settings class is a frozen `msgspec.Struct` whose fields are `Annotated[type, Meta(...)]`: the bounds are checked, the
description becomes the help of the flag and the row in `docs/configuration.md`.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import FieldInfo, fields

from flux_gateway.core.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

Origin = Callable[[tuple[str, ...]], str]
"""Says where a value came from, given the names of the tables it is in and its own."""


def load(
    cls: type[T],
    section: str,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    flag_prefix: str = "",
) -> T:
    """Return the settings of one program.

    `section` is the table of the TOML file and the middle of the environment names (`FLUX_GATEWAY_PORT` for the field
    `port` in section `gateway`). `flags` with value None count as not given; `flag_prefix` is how their names begin on
    the command line.

    A setting may be a table of its own (a struct, or a dict of structs): a table in the file, JSON in a variable or
    a flag. The later source replaces the whole table. Raises `ConfigError` with every fault.
    """
    known = {field.name: field for field in fields(cls)}
    faults: list[str] = []
    given: dict[str, tuple[Origin, Any]] = {}
    for name, value in _from_file(file, section, faults).items():
        given[name] = (_in_file(file, section), value)
    environment = os.environ if environment is None else environment
    prefix = f"FLUX_{section.upper()}_"
    for variable in sorted(environment):
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix):
            if name in known:
                given[name] = (_in_text(variable), environment[variable])
            else:
                faults.append(f"{variable}: unknown setting; known are {', '.join(sorted(known))}")
    for name, value in (flags or {}).items():
        if value is not None:
            given[name] = (_in_text(f"--{flag_prefix}{name.replace('_', '-')}"), value)
    values = _converted(cls, given, (), faults)
    missing = [field.name for field in known.values() if field.required and field.name not in given]
    faults += [
        f"{name}: required, give --{flag_prefix}{name.replace('_', '-')} or {prefix}{name.upper()}" for name in missing
    ]
    if not faults:
        try:
            return cls(**values)
        except ValueError as error:  # from a settings class's own __post_init__
            faults.append(str(error))
    raise ConfigError(faults)


def _in_file(file: Path | None, section: str) -> Origin:
    return lambda path: f"{file}: [{'.'.join((section, *path[:-1]))}] {path[-1]}"


def _in_text(source: str) -> Origin:
    """The whole table is one JSON text: the origin is the variable or the flag, then where in the text."""
    return lambda path: ": ".join(filter(None, (source, ".".join(path[1:]))))


def _converted(
    cls: type[msgspec.Struct], given: Mapping[str, tuple[Origin, Any]], path: tuple[str, ...], faults: list[str]
) -> dict[str, Any]:
    """Return what is given for a class, as the class wants it, and add what is wrong with it to `faults`."""
    known = {field.name: field for field in fields(cls)}
    hints = get_type_hints(cls, include_extras=True)
    values = {}
    for name, (origin, value) in given.items():
        if name not in known:
            faults.append(f"{origin((*path, name))}: unknown setting; known are {', '.join(sorted(known))}")
            continue
        values[name] = _value(hints[name], value, origin, (*path, name), faults)
    return values


def _value(hint: Any, value: Any, origin: Origin, path: tuple[str, ...], faults: list[str]) -> Any:
    """Return one value, converted. None when there is something wrong with it."""
    kind = _bare(hint)
    rows = _rows(hint)
    table = kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else rows
    try:
        if table is None:
            return msgspec.convert(_split(kind, value), hint, strict=False)
        if isinstance(value, str):
            value = msgspec.json.decode(value)
        if not isinstance(value, dict):
            raise msgspec.ValidationError("must be a table")
    except (msgspec.DecodeError, RecursionError) as error:  # a ValidationError is one, too
        faults.append(f"{origin(path)}: {error}")
        return None
    if rows is not None:
        return {name: _value(rows, row, origin, (*path, name), faults) for name, row in value.items()}
    before = len(faults)
    values = _converted(table, {name: (origin, one) for name, one in value.items()}, path, faults)
    missing = [field.name for field in fields(table) if field.required and field.name not in value]
    faults += [f"{origin((*path, name))}: required" for name in missing]
    if len(faults) > before:
        return None
    try:
        return table(**values)
    except ValueError as error:
        faults.append(f"{origin(path)}: {error}")
        return None


def _rows(hint: Any) -> type[msgspec.Struct] | None:
    """The class of the tables in a table of tables; None for everything else."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is dict:
        row = get_args(hint)[1]
        if isinstance(row, type) and issubclass(row, msgspec.Struct):
            return row
    return None


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


def _split(kind: Any, value: Any) -> Any:
    """A list setting comes as comma-separated text from the environment and from flags."""
    if isinstance(value, str) and kind in (tuple, list):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    return get_origin(hint) or hint


def describe(cls: type[msgspec.Struct]) -> list[tuple[FieldInfo, type, str]]:
    """Return (field, plain type, description) for each setting: for flags, help and documentation."""
    rows = []
    for field in fields(cls):
        metas = (m for m in getattr(field.type, "__metadata__", ()) if isinstance(m, msgspec.Meta))
        rows.append((field, _bare(field.type), next((m.description for m in metas if m.description), "")))
    return rows


def default_of(field: FieldInfo) -> Any:
    """Return what a setting is when it is not given; it must not be a required one."""
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
