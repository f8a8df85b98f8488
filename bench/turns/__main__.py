"""The longest turn of an edge's event loop that one request of 16 KB brings, by kind: `python -m bench.turns`.

While a turn lasts, nobody else is served. CPU time is counted, so that what else runs on the machine does not matter
much; the collection of garbage is in it. The edge is as it comes, but for a clock around each turn.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.report.checks import at_most
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from bench.servers.edges import serving_edge
from bench.servers.server import Server
from bench.system.processes import wait_until
from bench.turns.kinds import KINDS, Kind

TRACING = Path(__file__).parent / "tracing"
MOST = 10.0  # ms
QUIET = 0.3  # seconds without a byte: the answer is over


@dataclass(frozen=True)
class TurnsPlan(Plan):
    """How often."""

    rounds: int = option(9, "of which the medians are shown")


@contextmanager
def serving_timed(folder: Path) -> Iterator[Server]:
    """Run an edge that times its turns."""
    timed = {"PYTHONPATH": str(TRACING), "BENCH_TURNS": str(folder / "seconds")}
    with serving_edge(variables=timed) as edge:
        yield edge


def longest(server: Server, result: Path) -> float:
    """Return the longest turn since the last time, in ms."""
    server.settle()
    result.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR2)
    wait_until(partial(Path.exists, result), "the longest turn")
    return float(result.read_text()) * 1000


def drain(client: socket.socket) -> None:
    """Read until nothing more comes."""
    try:
        while client.recv(1 << 20):
            pass
    except (TimeoutError, ConnectionError):
        return


def measure(server: Server, result: Path, kind: Kind) -> float:
    """Send a request; return the longest turn from then on."""
    with socket.create_connection(("127.0.0.1", server.port), 8) as client:
        client.settimeout(QUIET)
        if kind.before:
            client.sendall(kind.before)
            drain(client)
        longest(server, result)
        client.sendall(kind.request)
        drain(client)
        return longest(server, result)


def run(plan: TurnsPlan) -> dict[str, list[float]]:
    """Measure all kinds, round by round; the first round warms the edge up and is not kept."""
    seen: dict[str, list[float]] = {kind.what: [] for kind in KINDS}
    with TemporaryDirectory(prefix="bench-turns-") as folder, serving_timed(Path(folder)) as server:
        for number in range(plan.rounds + 1):
            progress(f"round {number} of {plan.rounds} …")
            for kind in KINDS:
                seen[kind.what].append(measure(server, Path(folder, "seconds"), kind))
    return {what: times[1:] for what, times in seen.items()}


def main() -> int:
    """Measure, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("turns", __doc__, TurnsPlan(), sys.argv[1:])
    seen = run(plan)
    rows = {what: {"median, ms": median(times), "most, ms": max(times)} for what, times in seen.items()}
    checks = [at_most(f"longest turn, ms: {what}", median(times), MOST) for what, times in seen.items()]
    return conclude("turns", "the longest turn that one request brings", plan, rows, checks, per_round=seen)


if __name__ == "__main__":
    sys.exit(main())
