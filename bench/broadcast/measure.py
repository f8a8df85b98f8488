"""A message to everybody, and who else has to wait: `python -m bench.broadcast`.

15,000 SSE subscribers are on one channel, a few bystanders on another that gets a message every 20 ms. 100 bytes go
to all: how late are the first, the median, the 99th percentile and the last receiver, and how late do messages reach
the bystanders meanwhile? Both kinds of receivers have processes of their own. With few cores these take turns with the
server, Redis and the publisher, so the crowd, which in real life has machines of its own, runs only when nobody else
wants to (SCHED_IDLE), and its times are upper bounds. A message's time begins when it was due: a publisher that is
held up does not hide it.

It is measured once more on an edge whose subscribers hold `--channels-per-subscriber` channels each (1: not). Nchan
and aiohttp are compared by the first shape; the C reference knows only one channel.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from bench.clients.latency import Lateness, Receivers, Ticker, receiving, stamped
from bench.report.outcome import Check, at_most, conclude, end_on_signals, percentile, progress
from bench.report.plan import PlanWithPeers, option, read_plan
from bench.servers.churn import Visits
from bench.servers.leftovers import Leftovers, worst
from bench.servers.peers import Meter, Server, peers, serving_edge

CROWD, BYSTANDERS = "room", "corner"
BAR_MS = 20.0
PAUSE = 0.5


@dataclass(frozen=True)
class Plan(PlanWithPeers):
    """How much of everything."""

    rounds: int = option(15, "broadcasts")
    subscribers: int = 15_000
    channels_per_subscriber: int = option(2, "of the second shape; 1: only the first")
    bystanders: int = 5
    every_ms: float = option(20.0, "between two of the bystanders' messages")
    payload_bytes: int = 100
    quiet_seconds: float = option(3.0, "of watching the bystanders at rest")


class Outcome(NamedTuple):
    """What the receivers of each broadcast saw, and the bystanders: at rest, and during all broadcasts."""

    crowd: list[Lateness]
    quiet: Lateness
    meanwhile: Lateness
    publisher_ms: float  # p99 of the time until a bystanders' message was taken, during all broadcasts
    cpu_us: float  # of the server for each delivery, to bystanders, too


def measure(server: Server, plan: Plan, channels: int = 1) -> Outcome:
    """Hold everybody, each on so many channels, and broadcast on one of these again and again."""
    with ExitStack() as stack:
        crowd = stack.enter_context(receiving(server, humble=True))
        bystanders = stack.enter_context(receiving(server))
        crowd.open(plan.subscribers, CROWD, *(f"{CROWD}-{number}" for number in range(1, channels)))
        bystanders.open(plan.bystanders, BYSTANDERS)
        server.settle()
        broadcast(server, crowd, plan)  # the first one is a rehearsal
        quiet = watch_at_rest(server, bystanders, plan)
        bystanders.reset()
        with Meter(server) as meter:
            seen = [broadcast_watched(server, crowd, bystanders, plan) for _ in range(plan.rounds)]
        taken = sorted(late for _, _, times in seen for late in times)
        meanwhile = seen[-1][1]
        cpu_us = meter.microseconds / (plan.rounds * plan.subscribers + meanwhile.messages)
        return Outcome([one for one, _, _ in seen], quiet, meanwhile, percentile(taken, 0.99), cpu_us)


def broadcast(server: Server, crowd: Receivers, plan: Plan) -> Lateness:
    """Send a message to the crowd and wait for the last receiver."""
    crowd.reset()
    server.publisher.publish([stamped(plan.payload_bytes, time.monotonic_ns())], CROWD)
    crowd.wait(plan.subscribers)
    return crowd.report()


def watch_at_rest(server: Server, bystanders: Receivers, plan: Plan) -> Lateness:
    """Return how late the bystanders get theirs while nothing else happens."""
    bystanders.reset()
    ticker = start_ticker(server, plan)
    time.sleep(plan.quiet_seconds)
    bystanders.wait(ticker.stop() * plan.bystanders)
    return bystanders.report()


def broadcast_watched(
    server: Server, crowd: Receivers, bystanders: Receivers, plan: Plan
) -> tuple[Lateness, Lateness, list[float]]:
    """Broadcast while the bystanders get theirs; they keep what they noted in earlier rounds."""
    time.sleep(PAUSE)
    so_far = bystanders.count()
    ticker = start_ticker(server, plan)
    lateness = broadcast(server, crowd, plan)
    bystanders.wait(so_far + ticker.stop() * plan.bystanders)
    return lateness, bystanders.report(), ticker.acknowledged_ms


def start_ticker(server: Server, plan: Plan) -> Ticker:
    """Begin to publish to the bystanders, from the first message on."""
    ticker = Ticker(server, BYSTANDERS, plan.every_ms / 1000, size=plan.payload_bytes)
    ticker.start()
    while not ticker.published and ticker.is_alive():
        time.sleep(0.001)
    return ticker


def measure_edge(plan: Plan, channels: int = 1) -> tuple[Outcome, Leftovers]:
    """Measure an edge, and what it is left with."""
    with serving_edge() as server:
        visits = Visits(server, plan.forget_seconds)
        return measure(server, plan, channels), visits.leftovers(plan.subscribers)


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
        at_most(f"{name}: bystander p99 during a broadcast, ms", outcome.meanwhile.p99, BAR_MS)
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
