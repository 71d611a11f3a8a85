"""The progress of `flux load` on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from flux_gateway.cli import terminal
from flux_gateway.load import Counts, Load, LoadPlan

Show = Callable[[Load, Counts], None]


@contextmanager
def progress(plan: LoadPlan, wanted: bool) -> Iterator[Show]:
    """Yield what draws the state of the run; it draws nothing unless `wanted`."""
    if not wanted:
        yield lambda load, counts: None
        return
    columns = (
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[connected]} connected"),
        TextColumn("{task.fields[speed]:,.0f} messages/s"),
        TextColumn("{task.fields[disconnects]} disconnects"),
    )
    with Progress(*columns, console=terminal.err, transient=True) as drawn:
        task = drawn.add_task(
            "load", total=plan.ramp_seconds + (plan.duration or 0.0), connected=0, speed=0.0, disconnects=0
        )
        last = [0.0, 0]

        def show(load: Load, counts: Counts) -> None:
            elapsed = load.elapsed
            speed = (counts.received - last[1]) / max(1e-3, elapsed - last[0])
            last[:] = elapsed, counts.received
            drawn.update(
                task, completed=elapsed, connected=counts.connected, speed=speed,
                disconnects=sum(counts.disconnects.values()),
            )  # fmt: skip

        yield show
