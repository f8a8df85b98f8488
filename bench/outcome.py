"""What the benchmarks of whole clusters end with: a table, a line for each bar, the files of bench/results."""

import signal
import sys
from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.results_file import save, say

Rows = Mapping[str, Mapping[str, float]]


class Check(NamedTuple):
    """Something that must hold."""

    ok: bool
    line: str


def at_most(what: str, value: float, limit: float) -> Check:
    """Check a number against its limit."""
    return Check(value <= limit, f"{what}: {value:,.4g}, at most {limit:,.4g}")


def equal(what: str, value: float, wanted: float) -> Check:
    """Check that a count is what it has to be."""
    return Check(value == wanted, f"{what}: {value:,}, must be {wanted:,}")


def percentile(times: Sequence[float], share: float) -> float:
    """Return what a share of the sorted times is not above; 0 of none."""
    return times[max(ceil(share * len(times)) - 1, 0)] if times else 0.0


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of sorted times."""
    return {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": percentile(times, 1)}


def conclude(name: str, title: str, rows: Rows, checks: Sequence[Check], **detail: object) -> int:
    """Print the table and the checks, keep both, and return the exit code: 1 if a check failed."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    table = Table("", *columns, title=title, title_justify="left")
    for label, row in rows.items():
        table.add_row(label, *(_shown(row.get(column)) for column in columns))
    Console(width=max(Console().width, 100)).print(table)
    for check in checks:
        say(f"{'ok  ' if check.ok else 'FAIL'}  {check.line}", "green" if check.ok else "red")
    save(name, title, rows, checks=[check._asdict() for check in checks], **detail)
    return 0 if all(check.ok for check in checks) else 1


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: by an exception, which ends what it started, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))


def progress(line: str) -> None:
    """Say what is going on."""
    print(line, file=sys.stderr, flush=True)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.2f}"
