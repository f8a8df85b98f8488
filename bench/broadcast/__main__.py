"""A message to 15,000 subscribers, and what else has to wait for it: `python -m bench.broadcast`.

15,000 SSE subscribers are on one channel, a few bystanders on another that gets a message every 20 ms. 100 bytes go
to all: how late are the first, the median, the 99th percentile and the last receiver, and how late do messages reach
the bystanders meanwhile? Both kinds of receivers have processes of their own. With few cores these take turns with the
server, Redis and the publisher, so the crowd, which in real life has machines of its own, runs only while nothing else
wants the CPU (SCHED_IDLE), and its times are upper bounds. A message's time begins when it was due: a publisher that is
held up does not hide it.

It is measured once more on an edge whose subscribers hold `--channels-per-subscriber` channels each (1: not). Nchan
and aiohttp are compared by the first shape; the C reference knows only one channel.
"""

import sys
from collections.abc import Mapping
from statistics import median

from bench.broadcast.measure import Outcome, Plan, measure
from bench.report.checks import Check, at_most
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import read_plan
from bench.servers.churn import Churn
from bench.servers.edges import serving_edge
from bench.servers.leftovers import Leftovers, worst
from bench.servers.peers import peers

MAX_BYSTANDER_MS = 20.0


def measure_edge(plan: Plan, channels: int = 1) -> tuple[Outcome, Leftovers]:
    """Measure an edge, and what it is left with."""
    with serving_edge() as server:
        churn = Churn(server, plan.forget_seconds)
        return measure(server, plan, channels), churn.leftovers(plan.subscribers)


def run(plan: Plan) -> tuple[dict[str, Outcome], Leftovers]:
    """Measure all; return the outcomes, and the most that is left behind on an edge."""
    outcomes, left = {}, []
    for channels in sorted({1, plan.channels_per_subscriber}):
        name = "edge" if channels == 1 else f"edge, {channels} channels each"
        progress(f"{name} …")
        outcomes[name], leftovers = measure_edge(plan, channels)
        left.append(leftovers)
    for name, serving in (peers() if plan.peers else {}).items():
        progress(f"{name} …")
        with serving() as server:
            outcomes[name] = measure(server, plan)
    return outcomes, worst(left)


def tabulate(outcomes: Mapping[str, Outcome]) -> dict[str, dict[str, float]]:
    """Return the rows of the table: medians over the broadcasts."""
    rows: dict[str, dict[str, float]] = {}
    for server, outcome in outcomes.items():
        for name in ("first", "median", "p99", "last"):
            values = [getattr(lateness, name) for lateness in outcome.crowd]
            rows.setdefault(f"broadcast: {name} receiver, ms", {})[server] = median(values)
        for when, lateness in (("at rest", outcome.quiet), ("meanwhile", outcome.meanwhile)):
            rows.setdefault(f"bystander {when}: p50, ms", {})[server] = lateness.median
            rows.setdefault(f"bystander {when}: p99, ms", {})[server] = lateness.p99
        rows.setdefault("of it until the publisher's answer: p99, ms", {})[server] = outcome.publisher_ms
    return rows


def checks(outcomes: Mapping[str, Outcome]) -> list[Check]:
    """Hold the bar against what the bystanders of the edges saw."""
    return [
        at_most(f"{name}: bystander p99 during a broadcast, ms", outcome.meanwhile.p99, MAX_BYSTANDER_MS)
        for name, outcome in outcomes.items()
        if name.startswith("edge")
    ]


def main() -> int:
    """Broadcast, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("broadcast", __doc__, Plan(), sys.argv[1:])
    outcomes, left = run(plan)
    title = f"{plan.payload_bytes} B to {plan.subscribers} SSE subscribers, median of {plan.rounds}"
    rows, bars = tabulate(outcomes) | left.rows(), [*checks(outcomes), *left.checks()]
    seen = {name: outcome._asdict() for name, outcome in outcomes.items()}
    return conclude("broadcast", title, plan, rows, bars, outcomes=seen)


if __name__ == "__main__":
    sys.exit(main())
