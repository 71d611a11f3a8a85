"""What the options of `flux load` mean that click cannot read by itself."""

import os
from pathlib import Path

import click


def close_codes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> frozenset[int] | None:
    """Read `1012,1006`; `none` explains no code at all, and without the option there is nothing to judge."""
    if value is None:
        return None
    if value.strip() == "none":
        return frozenset()
    try:
        codes = frozenset(int(part) for part in value.split(","))
    except ValueError:
        codes = frozenset({0})
    if not all(1000 <= code <= 4999 for code in codes):
        raise click.BadParameter(f"{value}: close codes from 1000 to 4999 with commas between them, or none")
    return codes


def report_file(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
    """Check before the run, not after it, that the report can be written."""
    if value is not None:
        folder = value.absolute().parent
        if not folder.is_dir():
            raise click.BadParameter(f"{folder} is not a directory")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise click.BadParameter(f"{folder} cannot be written to by this user")
    return value
