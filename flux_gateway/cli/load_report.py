"""What came of `flux load`, shown: the table with the verdict below it, and the JSON object."""

import os
import tempfile
from pathlib import Path

import msgspec
from rich.markup import escape
from rich.table import Table

from flux_gateway.cli import terminal
from flux_gateway.core.errors import CommandError
from flux_gateway.load import LoadPlan, Report
from flux_gateway.load.newcomers import NewcomerCounts
from flux_gateway.load.verdict import listed


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run and what is to be said of it."""

    plan: LoadPlan
    report: Report
    newcomers: NewcomerCounts | None
    """None if no newcomers were asked for."""
    broken: list[str]
    """What did not hold, in words."""

    @property
    def ok(self) -> bool:
        """Whether everything held that was asked for."""
        return not self.broken

    def json(self) -> str:
        """Return the JSON object. `clean` is about messages only, `ok` about all that was asked for."""
        return msgspec.json.encode(
            {
                "ok": self.ok, "broken": self.broken, "clean": self.report.counts.clean, "plan": self.plan,
                "report": self.report, "newcomers": self.newcomers,
            }
        ).decode()  # fmt: skip


def write_file(file: Path, outcome: Outcome) -> None:
    """Write the JSON object, readable by all, whole or not at all. Raises `CommandError`."""
    fresh = ""
    try:
        descriptor, fresh = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.absolute().parent)
        with os.fdopen(descriptor, "w") as stream:
            os.fchmod(descriptor, 0o644)  # whatever the umask is
            stream.write(outcome.json() + "\n")
        os.replace(fresh, file)
    except OSError as error:
        if fresh:
            Path(fresh).unlink(missing_ok=True)
        raise CommandError(f"the report {file} cannot be written: {error.strerror}") from error


def print_table(outcome: Outcome) -> None:
    """Print the figures, and below them the verdict: one line, or one for each thing that broke."""
    terminal.out.print(_table(outcome))
    if outcome.ok:
        terminal.out.print("[bold green]Every invariant held.[/]")
    for line in outcome.broken:
        terminal.out.print(f"[bold red]broken[/]  {escape(line)}", soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    plan, report, counts = outcome.plan, outcome.report, outcome.report.counts
    latency = report.latency
    table = Table(title=plan.url, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="left")
    cpu = report.cpu_seconds * 1e6 / counts.received if counts.received else 0.0
    rows: list[tuple[str, str]] = [
        ("duration", f"{report.seconds:.1f} s"),
        ("clients", f"{plan.clients:,}"),
        ("connections opened", f"{counts.connects:,}"),
        ("connect failures", listed(counts.connect_failures) or "0"),
        ("disconnects by close code", listed(counts.disconnects) or "0"),
        ("came back to another node", f"{counts.node_changes:,}"),
        ("slowest return", _time(report.slowest_return) if report.slowest_return else "nobody had to"),
        ("not connected at the end", f"{report.absent:,}"),
        *_newcomers(outcome.newcomers),
        ("messages sent", f"{counts.sent:,}"),
        ("messages back", f"{counts.received:,}  ({report.messages_per_second:,.0f}/s)"),
        ("lost", f"{counts.lost:,}"),
        ("doubled", f"{counts.doubled:,}"),
        ("reordered", f"{counts.reordered:,}"),
        ("corrupt", f"{counts.corrupt:,}"),
        ("unanswered at a disconnect", f"{counts.unanswered:,}"),
        ("turns passed, socket full", f"{counts.blocked:,}"),
        ("turns passed, load too slow", f"{counts.skipped:,}"),
        ("latency p50, p90", f"{_time(latency.p50)}, {_time(latency.p90)}"),
        ("latency p99, p99.9", f"{_time(latency.p99)}, {_time(latency.p999)}"),
        ("latency, largest", _time(latency.max)),
        ("longest silence", _time(report.longest_silence)),
        ("processor of the load client", f"{report.cpu_seconds:.1f} s  ({cpu:.1f} us per message)"),
    ]
    for name, value in rows:
        wrong = name in ("lost", "doubled", "reordered", "corrupt", "new clients not served") and value != "0"
        table.add_row(name, value, style="red" if wrong else None)
    return table


def _newcomers(newcomers: NewcomerCounts | None) -> list[tuple[str, str]]:
    if newcomers is None:
        return []
    also = [
        f"{number:,} {what}"
        for number, what in ((newcomers.retried, "after a retry"), (newcomers.repeated, "asked twice"))
        if number
    ]
    return [
        ("new clients served", f"{newcomers.served:,}" + (f"  ({', '.join(also)})" if also else "")),
        ("new clients not served", listed(newcomers.causes) or "0"),
        ("new clients by node", listed(newcomers.nodes) or "0"),
        ("slowest new client", _time(newcomers.slowest)),
    ]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
