"""What every benchmark ends with: a table, a line for each bar with its verdict, the files of bench/results."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.report.checks import Check
from bench.report.console import say
from bench.report.plan import ResultPlan, shown
from bench.report.results_file import Rows, save
from bench.system import machine


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


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:,.2f}"
