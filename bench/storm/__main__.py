"""A reconnect storm: everybody is cut off, misses some messages, and comes back at once (`python -m bench.storm`).

The subscribers are spread over several edges and many channels. All drop; each channel gets some messages while
nobody is there; then all come back in the same moment, to another edge than before, with `since=` their position.
Each checks that it gets exactly what it missed. Meanwhile a bystander channel on the same edges gets a message every
20 ms, whose latency is compared with that of the time before.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.clients.publishing import publishing_to_redis
from bench.clients.subscribers import Crowd, State, all_times, come_and_go, hear_all, running_crowds, shares, tell_all
from bench.pacing import running_pacing, stamped
from bench.report.outcome import Check, conclude, end_on_signals, equal, percentile, progress
from bench.report.plan import Plan, option, read_plan
from bench.servers.edges import Fleet, running_fleet
from bench.servers.leftovers import Baseline, Leftovers
from bench.system.processes import running_valkey

BYSTANDERS = 10  # on each edge
BYSTANDER_RATE = 50.0
QUIET_SECONDS = 3.0
LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class StormPlan(Plan):
    """How much of everything."""

    rounds: int = option(3, "storms")
    connections: int = 50_000
    edges: int = 3
    channels: int = 500
    missed: int = option(3, "messages to each channel while everybody is away")
    window: int = option(0, "connections of one crowd on their way at a time; 0: everybody at once")


Numbers = dict[str, float]


class Storm:
    """The crowds and the bystanders of one run."""

    def __init__(self, plan: StormPlan, fleet: Fleet, crowds: list[Crowd], url: str) -> None:
        self._plan = plan
        self._fleet = fleet
        self._crowds = crowds[:-1]
        self._bystanders = crowds[-1]
        self._url = url
        self._turn = 0
        self.state = State()
        self.shares = shares(plan.connections, plan.edges)
        self.told = 0  # messages that the bystanders should have got

    def open(self) -> None:
        """Bring everybody in."""
        for edge in self._fleet.edges:
            self._bystanders.open(BYSTANDERS, edge.port, "/sse?id=bystander")
            self._bystanders.hear()
        modulo = self._plan.channels
        for number, (crowd, edge) in enumerate(zip(self._crowds, self._fleet.edges, strict=True)):
            crowd.open(self.shares[number], edge.port, "/sse?id=storm#", modulo=modulo)
        hear_all(self._crowds)
        all_times(self._crowds, "welcomes")

    def round(self) -> Numbers:
        """Let one storm come and go; return what it cost."""
        with running_pacing(self._url, BYSTANDER_RATE, LONGEST_SECONDS, "bystander") as pacing:
            time.sleep(QUIET_SECONDS)
            calm = self._bystanders.times("latencies")
            leaving, _ = self._drop()
            self._publish_missed()
            self._bystanders.times("latencies")
            coming, seconds = self._back()
            busy = self._bystanders.times("latencies")
            self.told += BYSTANDERS * len(self._fleet.edges) * pacing.stop().published
        self._bystanders.do(f"wait {self.told}")
        return self._numbers(calm, busy, leaving, coming, seconds)

    def _drop(self) -> tuple[float, float]:
        before = self._fleet.cpu_us_now()
        started = time.monotonic()
        tell_all(self._crowds, "drop")
        self._wait_for_rest()
        return self._fleet.cpu_us_now() - before, time.monotonic() - started

    def _publish_missed(self) -> None:
        with publishing_to_redis(self._url, plain=False) as publisher:
            for number in range(self._plan.channels):
                publisher.publish([stamped()] * self._plan.missed, f"storm{number}")

    def _back(self) -> tuple[float, float]:
        """Return the edges' CPU, and how long it took until the last was welcomed."""
        self._turn += 1
        edges, before = self._fleet.edges, self._fleet.cpu_us_now()
        started = time.monotonic()
        for number, crowd in enumerate(self._crowds):
            crowd.say(f"back {edges[(number + self._turn) % len(edges)].port} {self._plan.window}")
        hear_all(self._crowds)
        seconds = time.monotonic() - started
        cpu = self._fleet.cpu_us_now() - before
        for number, crowd in enumerate(self._crowds):
            crowd.say(f"wait {self.shares[number] * self._plan.missed * self._turn}")
        self.state = hear_all(self._crowds)
        return cpu, seconds

    def _wait_for_rest(self) -> None:
        """Wait until the edges have closed what the clients closed; the bystanders' messages go on."""
        held = len(self._fleet.edges) * 200
        while self._fleet.files() > held:
            time.sleep(0.05)

    def _numbers(self, calm: list[float], busy: list[float], leaving: float, coming: float, seconds: float) -> Numbers:
        count = sum(self.shares)
        welcomes = all_times(self._crowds, "welcomes")
        return {
            "reconnects": len(welcomes),
            "reconnects/s": count / seconds,
            "until all are welcomed, s": seconds,
            "edge CPU/reconnect, µs": coming / count,
            "edge CPU/drop, µs": leaving / count,
            "welcome p50, ms": percentile(welcomes, 0.5),
            "welcome p99, ms": percentile(welcomes, 0.99),
            "bystander p99 in calm, ms": percentile(calm, 0.99),
            "bystander p50 in the storm, ms": percentile(busy, 0.5),
            "bystander p99 in the storm, ms": percentile(busy, 0.99),
            "refused so far": self.state.refused,
        }


class Result(NamedTuple):
    """What was measured, what the crowd and the bystanders saw, and what is left behind."""

    rounds: list[Numbers]
    state: State
    bystanders: State
    told: int  # messages that the bystanders should have got
    left: Leftovers


def run(plan: StormPlan) -> Result:
    """Run all rounds."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        fleet = stack.enter_context(running_fleet(plan.edges, url))
        crowds = stack.enter_context(running_crowds(plan.edges + 1))
        come_and_go(fleet, crowds, [1] * plan.edges)
        baseline = Baseline(fleet, plan.forget_seconds)
        storm = Storm(plan, fleet, crowds, url)
        progress(f"{plan.connections} connections to {plan.edges} edges …")
        storm.open()
        rounds = []
        for number in range(1, plan.rounds + 1):
            progress(f"storm {number} of {plan.rounds} …")
            rounds.append(storm.round())
        bystanders = crowds[-1].do("state")
        tell_all(crowds, "forget")
        left = baseline.compare(plan.connections, partial(come_and_go, fleet, crowds, storm.shares))
        return Result(rounds, storm.state, bystanders, storm.told, left)


def judge(plan: StormPlan, result: Result) -> list[Check]:
    """Hold what was seen against what must hold."""
    state, bystanders = result.state, result.bystanders
    storms = plan.connections * plan.rounds
    return [
        equal("reconnects", sum(one["reconnects"] for one in result.rounds), storms),
        equal("messages that were missed and came", state.messages, storms * plan.missed),
        equal("everybody is back", state.held, plan.connections),
        equal("lost", state.lost + bystanders.lost, 0),
        equal("duplicates", state.duplicates + bystanders.duplicates, 0),
        equal("resets", state.resets + bystanders.resets, 0),
        equal("bystanders cut off", bystanders.broken, 0),
        equal("bystanders' messages", bystanders.messages, result.told),
        *result.left.checks(),
    ]


def main() -> int:
    """Run the storms, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("storm", __doc__, StormPlan(), sys.argv[1:])
    result = run(plan)
    rows: dict[str, dict[str, float]] = {
        key: {"median": median(one[key] for one in result.rounds), "lowest": min(one[key] for one in result.rounds)}
        | {"highest": max(one[key] for one in result.rounds)}
        for key in result.rounds[0]
    }
    title = f"{plan.connections:,} reconnect at once to {plan.edges} edges; {plan.rounds} storms"
    rows |= result.left.rows("median")
    return conclude("storm", title, plan, rows, judge(plan, result), per_round=result.rounds)


if __name__ == "__main__":
    sys.exit(main())
