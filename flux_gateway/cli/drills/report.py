"""How a drill's phases are shown: a table, and a verdict."""

from collections.abc import Sequence

import click
import msgspec

from flux_gateway.cli.drills.witness import Phase
from flux_gateway.cli.terminal import out, plain_table

_COLUMNS = ("step", "msgs", "lost", "dbl", "ord", "closed", "cut", "new", "around", "p99", "quiet")
_LEGEND = (
    "msgs, lost, dbl, ord: messages that came back, were lost, came twice, came out of order. closed: connections "
    "ended, by close code. cut: messages in flight when their connection was closed; the client knows and sends again. "
    "new: new clients served. around: seconds until no proxy sent new clients to the node. p99: latency, ms. "
    "quiet: longest wait of any client for an answer, seconds."
)


def show(phases: Sequence[Phase], as_json: bool) -> bool:
    """Print the phases; return whether every invariant held."""
    whole = all(not phase.broken for phase in phases)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"ok": whole, "phases": phases})).decode())
        return whole
    table = plain_table("what clients saw")
    table.box = None  # every character counts on 80 columns
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "step" else "right", min_width=len(name), no_wrap=True)
    for phase in phases:
        table.add_row(*_row(phase), style="red" if phase.broken else None)
    out.print(table)
    out.print(f"[dim]{_LEGEND}[/]")
    for phase in phases:
        for fault in phase.broken:
            out.print(f"[bold red]broken[/]  {phase.title}: {fault}")
    out.print("[bold green]Every invariant held.[/]" if whole else "[bold red]An invariant broke.[/]")
    return whole


def _row(phase: Phase) -> list[str]:
    counts = phase.load.counts
    closed = " ".join(f"{count}x{code}" for code, count in sorted(counts.disconnects.items()))
    new = phase.newcomers
    return [
        phase.title,
        str(counts.received),
        str(counts.lost),
        str(counts.doubled),
        str(counts.reordered),
        closed or "0",
        str(counts.unanswered),
        str(new.served) if not new.failed else f"{new.failed} failed",
        "" if phase.routed_around is None else f"{phase.routed_around:.2f}",
        f"{phase.load.latency.p99 * 1000:.0f}",
        f"{phase.load.longest_silence:.1f}",
    ]
