"""The bars of a benchmark that measures costs, and how its numbers are shown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.results_file import say

Costs = dict[str, float]
Round = dict[str, Costs]  # what each server's costs were in one round

ROWS = {
    "memory_one": ("memory/connection, one channel", "B"),
    "memory_each": ("memory/connection, channel each", "B"),
    "subscribe": ("CPU/subscribe, one channel", "µs"),
    "subscribe_each": ("CPU/subscribe, channel each", "µs"),
    "delivery": ("CPU/delivery, one by one", "µs"),
    "burst": ("CPU/message, burst", "µs"),
    "poll": ("CPU/long-poll cycle", "µs"),
}


class Bar(NamedTuple):
    """A limit on one cost: on a server's own number, or on its ratio to another server's in the same round."""

    key: str
    limit: float
    over: str = ""
    of: str = "edge"


BARS = (
    Bar("memory_one", 400),
    Bar("memory_each", 900),
    Bar("delivery", 1.15, "reference"),
    Bar("subscribe", 2.0, "reference"),
    Bar("poll", 2.5, "reference"),
    Bar("delivery", 1.10, "reference"),
    Bar("delivery", 0.80, "nchan"),
    Bar("burst", 0.20, "nchan"),
    Bar("subscribe", 1.3, "nchan"),
    Bar("poll", 1.2, "nchan"),
    Bar("memory_one", 500, of="websocket"),
    Bar("delivery", 1.15, "edge", of="websocket"),
)


class Verdict(NamedTuple):
    """Whether a bar holds, and the line that says so."""

    ok: bool
    line: str


def medians(rounds: Sequence[Round]) -> Round:
    """Return the median of each cost of each server."""
    return {
        server: {key: median(one[server][key] for one in rounds) for key in rounds[0][server]} for server in rounds[0]
    }


def ratios(rounds: Iterable[Round], key: str, over: str, of: str = "edge") -> list[float]:
    """Return what a cost of one server was in each round, as a multiple of another's."""
    return sorted(one[of][key] / (one[over][key] or 1) for one in rounds)


def judge(bars: Iterable[Bar], rounds: Sequence[Round]) -> list[Verdict]:
    """Hold every bar against the medians, if what it is about was measured."""
    measured = rounds[0]
    known = [bar for bar in bars if {bar.of, bar.over or bar.of} <= measured.keys()]
    return [_judge(bar, rounds) for bar in known if bar.key in measured[bar.of]]


def _judge(bar: Bar, rounds: Sequence[Round]) -> Verdict:
    title, unit = ROWS[bar.key]
    if bar.over:
        value = median(ratios(rounds, bar.key, bar.over, bar.of))
        shown = f"{value:.2f} times {bar.over}, at most {bar.limit:.2f}"
    else:
        value = medians(rounds)[bar.of][bar.key]
        shown = f"{value:.0f} {unit}, at most {bar.limit:.0f} {unit}"
    whose = "" if bar.of == "edge" else f" by {bar.of}"
    return verdict(value <= bar.limit, f"{title}{whose}: {shown}")


def verdict(ok: bool, line: str) -> Verdict:
    """Return whether a bar holds, with its line."""
    return Verdict(ok, f"{'ok  ' if ok else 'over'}  {line}")


def show(title: str, rounds: Sequence[Round], verdicts: Iterable[Verdict]) -> None:
    """Print a column per server, what the edge's costs are as multiples of two of them, and a line per bar."""
    middle = medians(rounds)
    compared = [server for server in ("reference", "nchan") if server in middle]
    table = Table("cost to the server", title=title, title_justify="left")
    for name in (*middle, *(f"edge ÷ {server} (from-to)" for server in compared)):
        table.add_column(name, justify="right")
    for key in middle["edge"]:
        label, unit = ROWS[key]
        shares = [_share(ratios(rounds, key, server)) for server in compared] if unit == "µs" else []
        table.add_row(f"{label}, {unit}", *(_cost(costs, key) for costs in middle.values()), *shares)
    print_with_verdicts(table, verdicts)


def print_with_verdicts(table: Table, verdicts: Iterable[Verdict]) -> None:
    """Print a table, and the bars below it."""
    Console(width=max(Console().width, 160)).print(table)
    for one in verdicts:
        say(one.line, style="green" if one.ok else "red")


def chart(rounds: Sequence[Round]) -> Mapping[str, Mapping[str, float]]:
    """Return the medians as rows for `results_file.save`."""
    middle = medians(rounds)
    labels = {key: ", ".join(ROWS[key]) for key in middle["edge"]}
    return {
        label: {server: costs[key] for server, costs in middle.items() if key in costs} for key, label in labels.items()
    }


def _cost(costs: Costs, key: str) -> str:
    return f"{costs[key]:,.1f}" if key in costs else "-"


def _share(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({values[0]:.2f}-{values[-1]:.2f})"
