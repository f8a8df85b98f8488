"""The bars of `bench.held`, and how its numbers are shown."""

from typing import NamedTuple

from rich.console import Console
from rich.table import Table

Costs = dict[str, float]

ROWS = {
    "memory_one": ("memory/connection, one channel", "B"),
    "memory_each": ("memory/connection, channel each", "B"),
    "subscribe": ("CPU/subscribe, one channel", "µs"),
    "subscribe_each": ("CPU/subscribe, channel each", "µs"),
    "delivery": ("CPU/delivery, one by one", "µs"),
    "burst": ("CPU/delivery, burst", "µs"),
    "poll": ("CPU/long-poll cycle", "µs"),
}


class Bar(NamedTuple):
    """A limit on one cost: on the edge's own number, or on its ratio to the reference."""

    key: str
    column: str
    limit: float


BARS = (
    Bar("memory_one", "edge", 400),
    Bar("memory_each", "edge", 900),
    Bar("delivery", "ratio", 1.15),
    Bar("subscribe", "ratio", 2.0),
    Bar("poll", "ratio", 2.5),
)


class Verdict(NamedTuple):
    """Whether a bar holds, and the line that says so."""

    ok: bool
    line: str


def judge(bar: Bar, medians: dict[str, Costs]) -> Verdict:
    """Hold one bar against the medians."""
    title, unit = ROWS[bar.key]
    value = medians[bar.column][bar.key]
    ok = value <= bar.limit
    shown = f"{value:.2f} times the reference, at most {bar.limit:.2f}"
    if bar.column == "edge":
        shown = f"{value:.0f} {unit}, at most {bar.limit:.0f} {unit}"
    return Verdict(ok, f"{'ok  ' if ok else 'over'}  {title}: {shown}")


def show(title: str, medians: dict[str, Costs], verdicts: list[Verdict]) -> None:
    """Print the table and a line per bar."""
    table = Table("cost to the server", title=title, title_justify="left")
    for name in ("edge", "C reference", "ratio", "from-to"):
        table.add_column(name, justify="right")
    for key, (label, unit) in ROWS.items():
        costs = [f"{medians[name][key]:.1f} {unit}" for name in ("edge", "reference")]
        ratio, low, high = (f"{medians[name][key]:.2f}" for name in ("ratio", "lowest", "highest"))
        table.add_row(label, *costs, *((ratio, f"{low}-{high}") if unit == "µs" else ()))
    console = Console()
    console.print(table)
    for verdict in verdicts:
        console.print(verdict.line, style="green" if verdict.ok else "red", highlight=False, soft_wrap=True)
