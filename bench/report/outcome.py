"""What every benchmark ends with: a table, a line for each bar with its verdict, the files of bench/results."""

import signal
import sys
from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.report.plan import ResultPlan, shown
from bench.report.results_file import Rows, save, say
from bench.system import machine


class Check(NamedTuple):
    """A bar, and what was measured: None if it never happened."""

    what: str
    value: float | None
    limit: float
    exact: bool = False  # the value must be the limit, not just keep to it

    @property
    def ok(self) -> bool:
        """Whether the bar holds."""
        if self.value is None:
            return False
        return self.value == self.limit if self.exact else self.value <= self.limit

    @property
    def line(self) -> str:
        """The bar and its verdict in words."""
        verb, value = "must be" if self.exact else "at most", "never" if self.value is None else _number(self.value)
        return f"{'ok    ' if self.ok else 'MISSED'}  {self.what}: {value}, {verb} {_number(self.limit)}"

    def as_json(self) -> dict[str, object]:
        """Return it for the file."""
        return {**self._asdict(), "ok": self.ok}


def at_most(what: str, value: float | None, limit: float) -> Check:
    """Check a number against its limit."""
    return Check(what, value, limit)


def equal(what: str, value: float, wanted: float) -> Check:
    """Check that a count is what it has to be."""
    return Check(what, value, wanted, exact=True)


def percentile(times: Sequence[float], share: float) -> float:
    """Return what a share of the sorted times is not above; 0 of none."""
    return times[max(ceil(share * len(times)) - 1, 0)] if times else 0.0


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of sorted times."""
    return {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": percentile(times, 1)}


def conclude(
    name: str,
    title: str,
    plan: ResultPlan,
    rows: Rows,
    checks: Sequence[Check],
    beside: Mapping[str, Mapping[str, str]] | None = None,
    **detail: object,
) -> int:
    """Print the table and the verdicts, keep both, and return the exit code: 1 if a bar is missed and that matters.

    `beside` has what stands beside some rows of the table and is no number of its own.
    """
    say(machine.line())
    print_table(title, rows, beside or {})
    for check in checks:
        say(check.line, "green" if check.ok else "red")
    missed = sum(not check.ok for check in checks)
    bars = [check.as_json() for check in checks]
    save(plan.results, name, title, rows, verdict="MISSED" if missed else "ok", bars=bars, plan=shown(plan), **detail)
    return 1 if missed and plan.strict else 0


def print_table(title: str, rows: Rows, beside: Mapping[str, Mapping[str, str]]) -> None:
    """Print a column for each server, or whatever is compared."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    more = list(dict.fromkeys(column for row in beside.values() for column in row))
    table = Table("", title=title, title_justify="left")
    for column in (*columns, *more):
        table.add_column(column, justify="right")
    for label, row in rows.items():
        texts = beside.get(label, {})
        table.add_row(label, *(_cell(row.get(column)) for column in columns), *(texts.get(name, "") for name in more))
    Console(width=max(Console().width, 160)).print(table)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by an exception, which ends what it started, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def progress(line: str) -> None:
    """Say what is going on."""
    print(line, file=sys.stderr, flush=True)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.2f}"
