"""What a connection at rest costs: CPU of one edge per connection and second, heartbeats included.

`python -m bench.idle` holds the connections twice. First as they came, one after the other: their heartbeats are
spread. Then one message goes to all of them at once, after which all of them are due for a heartbeat in the same
moment, again and again. What an edge without connections uses is taken off.
"""

import sys
import time
from dataclasses import dataclass
from statistics import median

from bench.clients.load import Load
from bench.clients.publishing import payload
from bench.report.checks import at_most
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from bench.servers.churn import STREAM_PATH, Churn
from bench.servers.edges import serving_edge
from bench.servers.leftovers import Leftovers
from bench.servers.server import Server

MAX_CPU_US = 0.5
EACH = "CPU/connection and second, µs"
EMPTY = "CPU/second of an empty edge, µs"
TOGETHER = "edge, all beat together"


@dataclass(frozen=True)
class IdlePlan(Plan):
    """How much of everything."""

    rounds: int = 1
    connections: int = 10_000
    heartbeat: int = option(25, "seconds: COMET_HEARTBEAT, at its default")
    beats: int = option(2, "heartbeats of each connection over which the CPU is counted")


class Measured:
    """One edge, and what it used while nothing happened."""

    def __init__(self, server: Server, plan: IdlePlan) -> None:
        self._server = server
        self._plan = plan
        self._seconds = plan.heartbeat * plan.beats

    def round(self) -> dict[str, float]:
        """Return microseconds of CPU per second: of an empty edge, and of each connection, spread and together."""
        progress(f"{3 * self._seconds + self._plan.heartbeat} seconds of rest …")
        empty = self._spent()
        with self._server.running_load() as load:
            load.open_streams(self._plan.connections, STREAM_PATH)
            time.sleep(self._plan.heartbeat)  # until the heartbeats have found their pace
            held = {"edge": self._spent()}
            self._bring_together(load)
            held[TOGETHER] = self._spent()
        return {"empty": empty} | {name: (spent - empty) / self._plan.connections for name, spent in held.items()}

    def _bring_together(self, load: Load) -> None:
        """Let all heartbeats be due at once: their interval begins with the last message, which all get now."""
        self._server.publisher.publish([payload(100)])
        load.wait_for_messages(1)
        time.sleep(self._plan.heartbeat / 2)  # the beats come in the middle of what is counted

    def _spent(self) -> float:
        """Return the microseconds of CPU that the server uses in a second, on average."""
        before, began = self._server.cpu_ns(), time.monotonic()
        time.sleep(self._seconds)
        return (self._server.cpu_ns() - before) / 1000 / (time.monotonic() - began)


def run(plan: IdlePlan) -> tuple[list[dict[str, float]], Leftovers]:
    """Measure all rounds on one edge; return the numbers, and what is left behind."""
    with serving_edge(HEARTBEAT=str(plan.heartbeat)) as server:
        churn = Churn(server, plan.forget_seconds)
        measured = Measured(server, plan)
        return [measured.round() for _ in range(plan.rounds)], churn.leftovers(plan.connections)


def main() -> int:
    """Measure and print."""
    end_on_signals()
    plan = read_plan("idle", __doc__, IdlePlan(), sys.argv[1:])
    rounds, left = run(plan)
    middle = {name: median(one[name] for one in rounds) for name in rounds[0]}
    rows = {EACH: {name: middle[name] for name in ("edge", TOGETHER)}, EMPTY: {"edge": middle["empty"]}, **left.rows()}
    checks = [at_most(f"{EACH}: {name}", middle[name], MAX_CPU_US) for name in ("edge", TOGETHER)]
    title = f"{plan.connections} SSE connections at rest, a heartbeat every {plan.heartbeat} s"
    return conclude("idle", title, plan, rows, [*checks, *left.checks()], per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
