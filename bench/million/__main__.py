"""A million held connections on one machine, and one broadcast to all of them (`python -m bench.million`).

As many edges as the descriptor limit asks for, a crowd for each, all on one channel. It shows the memory of everything
and the rate of opening; then one plain PUBLISH goes out, and everybody must get it. It stops opening, and fails, when
the machine's memory in use exceeds `--stop-gib`. Kernel settings that would stand in the way are raised, if they may
be, while it runs, and printed. Heartbeats and the audit of quiet channels are off: what they cost is `bench.idle`'s
business, and here they would only stretch the time.
"""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import NamedTuple

from redis import Redis

from bench.clients.subscribers import (
    LIMIT,
    Crowd,
    State,
    all_times,
    come_and_go,
    running_crowds,
    shares,
    tell_all,
    wait_for_messages,
)
from bench.million.kernel import prepared
from bench.pacing import stamped
from bench.report.outcome import Check, at_most, conclude, end_on_signals, equal, percentile, progress
from bench.report.plan import Plan, option, read_plan
from bench.servers.edges import Fleet, pid_of_redis, running_fleet
from bench.servers.leftovers import Baseline
from bench.system import memory
from bench.system.processes import NEVER, running_valkey

SECONDS = 1800
AT_ONCE = 2  # crowds that open together: the cores are shared with the edges
MOST_EDGES_GB = 3.5
GB = 1e9


@dataclass(frozen=True)
class MillionPlan(Plan):
    """How much of everything."""

    rounds: int = option(1, "broadcasts to all")
    connections: int = 1_000_000
    edges: int = option(0, "0: as few as can hold them")
    stop_gib: int = option(20, "of this machine's memory in use; past that it gives up")

    @property
    def shares(self) -> list[int]:
        """How many connections each edge gets."""
        return shares(self.connections, self.edges or ceil(self.connections / LIMIT))


class Held(NamedTuple):
    """Everything in place."""

    plan: MillionPlan
    fleet: Fleet
    crowds: list[Crowd]
    url: str


Rows = dict[str, dict[str, float]]


def open_all(held: Held) -> tuple[State, float]:
    """Open everything, a few crowds at a time; return what is held and how long it took."""
    started, state, shares = time.monotonic(), State(), held.plan.shares
    for start in range(0, len(shares), AT_ONCE):
        some = range(start, min(start + AT_ONCE, len(shares)))
        for number in some:
            held.crowds[number].open(shares[number], held.fleet.edges[number].port, "/sse?id=all")
        for number in some:
            state = State(*map(sum, zip(state, held.crowds[number].hear(), strict=True)))
        in_use = memory.used() / 2**30
        progress(f"{state.held:>9,} held, {in_use:.1f} GiB in use, {state.held / (time.monotonic() - started):,.0f}/s")
        if in_use > held.plan.stop_gib:
            raise RuntimeError(f"stopped at {state.held:,}: more than {held.plan.stop_gib} GiB are in use")
    return state, time.monotonic() - started


class Broadcasts(NamedTuple):
    """What all broadcasts together cost, and what the crowds saw."""

    times: list[float]  # from the PUBLISH until each had it, in ms, sorted
    state: State
    cpu_us: float


def broadcast(held: Held) -> Broadcasts:
    """Send one plain PUBLISH after the other, each when everybody has had the last."""
    before = held.fleet.cpu_us()
    with Redis.from_url(held.url) as redis:
        for number in range(1, held.plan.rounds + 1):
            progress(f"PUBLISH {number} of {held.plan.rounds} …")
            redis.publish("comet:all", stamped())
            wait_for_messages(held.crowds, number * held.plan.connections)
    state = tell_all(held.crowds, "state")
    return Broadcasts(all_times(held.crowds, "latencies"), state, held.fleet.cpu_us() - before)


def memories(held: Held) -> dict[str, float]:
    """Return the memory of everything, in bytes."""
    edges = memory.of_processes(edge.pid for edge in held.fleet.edges)
    clients = memory.of_processes(crowd.pid for crowd in held.crowds)
    valkey = memory.of_processes([pid_of_redis(held.url)])
    kernel = memory.of_kernel()
    return {
        "edges, RSS": edges.rss,
        "edges, PSS": edges.pss,
        "clients, PSS": clients.pss,
        "Valkey, RSS": valkey.rss,
        "kernel slabs": kernel["slab"],
        "kernel TCP buffers": kernel["tcp"],
        "machine, in use": memory.used(),
    }


def run(plan: MillionPlan) -> tuple[Rows, list[Check]]:
    """Hold everything, broadcast, let everybody leave, and return the numbers and the checks."""
    counts = plan.shares
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        progress(f"starting {len(counts)} edges and as many crowds …")
        started = time.monotonic()
        fleet = stack.enter_context(running_fleet(len(counts), url, AUDIT=NEVER, HEARTBEAT=NEVER, LINGER="1"))
        start_seconds = time.monotonic() - started
        crowds = stack.enter_context(running_crowds(len(counts), SECONDS))
        come_and_go(fleet, crowds, [1] * len(counts))
        baseline = Baseline(fleet, plan.forget_seconds)
        rows, checks = measure(Held(plan, fleet, crowds, url))
        tell_all(crowds, "forget")
        left = baseline.compare(plan.connections, partial(come_and_go, fleet, crowds, counts))
        return {"starting the edges, s": {"value": start_seconds}, **rows, **left.rows("value")}, [
            *checks,
            *left.checks(),
        ]


def measure(held: Held) -> tuple[Rows, list[Check]]:
    """Open everything and broadcast."""
    plan, empty, cpu = held.plan, memories(held), held.fleet.cpu_us()
    opened, seconds = open_all(held)
    cpu, full = held.fleet.cpu_us() - cpu, memories(held)
    sent = broadcast(held)
    rows = memory_rows(empty, full, plan.connections) | {
        "connections/s": {"value": opened.held / seconds},
        "edge CPU/connection, µs": {"value": cpu / plan.connections},
        "edge CPU/delivery, µs": {"value": sent.cpu_us / (plan.connections * plan.rounds)},
        "broadcast: first, ms": {"value": percentile(sent.times, 0)},
        "broadcast: median, ms": {"value": percentile(sent.times, 0.5)},
        "broadcast: last, ms": {"value": percentile(sent.times, 1)},
    }
    return rows, judge(plan, opened, sent.state, full)


def memory_rows(empty: dict[str, float], full: dict[str, float], connections: int) -> Rows:
    """Return the memory before and after, and what a connection has added."""
    return {
        f"{name}, MB": {
            "no connections": empty[name] / 1e6,
            "all connections": full[name] / 1e6,
            "B/connection": (full[name] - empty[name]) / connections,
        }
        for name in full
    }


def judge(plan: MillionPlan, opened: State, state: State, full: dict[str, float]) -> list[Check]:
    """Hold what was seen against what must hold."""
    return [
        equal("connections opened", opened.held, plan.connections),
        equal("connections held at the end", state.held, plan.connections),
        equal("messages received", state.messages, plan.connections * plan.rounds),
        equal("lost, duplicates, resets", state.lost + state.duplicates + state.resets, 0),
        equal("refused or broken", state.refused + state.broken, 0),
        at_most("RSS of all edges, GB", full["edges, RSS"] / GB, MOST_EDGES_GB),
    ]


def main() -> int:
    """Hold them, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("million", __doc__, MillionPlan(), sys.argv[1:])
    with prepared(plan.connections) as settings:
        rows, checks = run(plan)
    title = f"{plan.connections:,} connections to {len(plan.shares)} edges, heartbeats and audit off"
    return conclude("million", title, plan, rows, checks, kernel=settings)


if __name__ == "__main__":
    sys.exit(main())
