"""Consoles: results go to `out`, progress and remarks to `err`, so that output can be piped."""

from rich import box
from rich.console import Console
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

def plain_table(title: str | None = None) -> Table:
    """Return an empty table that stays readable on 80 columns."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


STATE_STYLE = {
    "UP": "green",
    "STARTING": "yellow",
    "DRAINING": "yellow",
    "STOPPED": "dim",
    "DEAD": "bold red",
}
"""How a state is coloured; the word itself is always shown too."""


def size(count: float) -> str:
    """Return bytes as people read them: 1536 -> 1.5 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""
