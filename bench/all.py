"""All benchmarks but `million`, one after the other, and one table of all their bars at the end: `make bench-all`."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.report.console import end_on_signals, progress, say
from bench.system import machine
from bench.system.paths import CHECKOUT, RESULTS

SERVING = ("held", "poll", "broadcast", "slow", "rude", "storm", "rooms", "ideawu", "idle", "turns")
NAMES = (*SERVING, "publishing", "redis_cost", "tokens")
Result = dict[str, Any]


def run(name: str, folder: Path) -> Result | None:
    """Run one benchmark with its own numbers; return what it has written, None if it failed."""
    path = folder / f"{name}.json"
    path.unlink(missing_ok=True)
    progress(f"== {name}")
    with subprocess.Popen([sys.executable, "-m", f"bench.{name}", "--results", folder], cwd=CHECKOUT) as process:
        try:
            process.wait()
        finally:
            process.terminate()  # it ends its servers; killed, it could not
    return json.loads(path.read_text()) if path.exists() else None


def tabulate(results: Iterable[tuple[str, Result | None]]) -> Table:
    """Return the table of all bars."""
    table = Table("benchmark", "bar", title=machine.line(), title_justify="left")
    for column in ("measured", "limit", "verdict"):
        table.add_column(column, justify="right")
    for name, result in results:
        for bar in result["bars"] if result else ():
            measured = "never" if bar["value"] is None else f"{bar['value']:,.4g}"
            limit = f"{'=' if bar['exact'] else '≤'} {bar['limit']:,.4g}"
            table.add_row(name, bar["what"], measured, limit, "ok" if bar["ok"] else "[red]MISSED")
        if not result:
            table.add_row(name, "it runs to its end", "", "", "[red]FAILED")
    return table


def parse_options(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.all", description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"some of them: {', '.join(NAMES)}")
    parser.add_argument("--results", type=lambda text: Path(text).absolute(), default=RESULTS, metavar="X")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args(words)


def main() -> int:
    """Run them; return the exit code: 1 if one failed, or if a bar is missed and that matters."""
    end_on_signals()
    options = parse_options(sys.argv[1:])
    results = [(name, run(name, options.results)) for name in options.names]
    Console(width=max(Console().width, 140)).print(tabulate(results))
    say(f"everything is in {options.results}")
    missed = any(result is None or (options.strict and result["verdict"] != "ok") for _, result in results)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
