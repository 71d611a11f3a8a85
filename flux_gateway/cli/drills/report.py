"""How a drill's phases are shown: a table, and a verdict."""

from collections.abc import Sequence

import click
import msgspec

from flux_gateway.cli.drills.witness import Phase
from flux_gateway.cli.terminal import out, plain_table

_COLUMNS = ("step", "back", "lost", "dbl", "ord", "closed", "moved", "reatt", "new", "quiet")
_MORE = ("around", "p99")
_LEGEND = (
    "back, lost, dbl, ord: messages that came back, were lost, came twice, came out of order. closed: connections "
    "ended, by close code. moved: sessions now at another node, or at the same one with a fresh stream; reatt: "
    "the node was gone. new: new clients served. quiet: longest wait of any client for an answer, seconds."
)
_LEGEND_MORE = " around: seconds until no proxy sent new clients to the node. p99: latency, ms."


def numbered(number: int, phase: Phase) -> Phase:
    """Return the phase as a part of a numbered step."""
    return msgspec.structs.replace(phase, title=f"{number} {phase.title}")


def show(phases: Sequence[Phase], as_json: bool, *, brief: bool = False) -> bool:
    """Print the phases; return whether every invariant held. `brief` leaves out what matters for a single fault."""
    whole = all(not phase.broken for phase in phases)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({"ok": whole, "phases": phases})).decode())
        return whole
    table = plain_table("what clients saw")
    table.box = None  # every character counts on 80 columns
    for name in (*_COLUMNS, *(() if brief else _MORE)):
        table.add_column(name, justify="left" if name == "step" else "right", min_width=len(name), no_wrap=True)
    for phase in phases:
        table.add_row(*_row(phase), *(() if brief else _more(phase)), style="red" if phase.broken else None)
    out.print(table)
    out.print(f"[dim]{_LEGEND}{'' if brief else _LEGEND_MORE}[/]")
    for line in _remarks(phases):
        out.print(line)
    for phase in phases:
        for fault in phase.broken:
            out.print(f"[bold red]broken[/]  {phase.title.strip()}: {fault}")
    out.print("[bold green]Every invariant held.[/]" if whole else "[bold red]An invariant broke.[/]")
    return whole


def _remarks(phases: Sequence[Phase]) -> list[str]:
    """Return what needs an explanation though it breaks nothing."""
    lost = sum(phase.load.counts.lost for phase in phases)
    allowed = sum(phase.allowed.lost for phase in phases if phase.load.counts.lost)
    closed = sum(sum(phase.load.counts.disconnects.values()) for phase in phases)
    remarks = []
    if 0 < lost <= allowed:
        remarks.append(f"The {lost} lost messages were inside a process that died or fell silent (at most {allowed}).")
    if closed and not any(phase.broken for phase in phases):
        remarks.append(f"The {closed} closed clients had bytes in the process that was killed (at most 1 % may).")
    return remarks


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
        str(phase.moves.moved),
        str(phase.moves.reattached),
        str(new.served) if not new.failed else f"{new.failed} failed",
        f"{phase.load.longest_silence:.2f}",
    ]


def _more(phase: Phase) -> list[str]:
    return [
        "" if phase.routed_around is None else f"{phase.routed_around:.2f}",
        f"{phase.load.latency.p99 * 1000:.0f}",
    ]
