"""The figures as a table on the terminal."""

from statistics import median

from rich.table import Table

from benchmarks.figures import Figure


def table(figures: list[Figure]) -> Table:
    """Return the table: medians, in brackets smallest and largest, and whether the target was reached."""
    found = Table(title="median (min - max)", title_justify="left")
    for name in ("", "Flux Gateway", "the other", "ratio", "target", "reached"):
        found.add_column(name, justify="left" if not name else "right")
    scenario = ""
    for figure in figures:
        if figure.scenario != scenario:
            scenario = figure.scenario
            found.add_section()
            found.add_row(f"[bold]{scenario}")
        ratio, reached = figure.ratio, figure.reached
        found.add_row(
            f"  {figure.name}",
            _spread(figure.ours, figure.unit),
            _spread(figure.other, figure.unit) if figure.other else "",
            f"{ratio:.2f} x" if ratio is not None else "",
            figure.target,
            "" if reached is None else "yes" if reached else "NO",
            style="red" if reached is False else None,
        )
    return found


def _spread(values: list[float], unit: str) -> str:
    low, middle, high = (_short(value) for value in (min(values), median(values), max(values)))
    return f"{middle} {unit} ({low} - {high})".replace("  ", " ")


def _short(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
