"""A million held connections on one machine, and one broadcast to all of them (`python -m bench.million`).

As many edges as the descriptor limit asks for, a crowd for each, all on one channel. It shows the memory of everything
and the rate of opening; then one plain PUBLISH goes out, and everybody must get it. It stops opening, and fails, when
the machine's memory in use exceeds `--stop-gib`. Kernel settings that would stand in the way are raised, if they may
be, while it runs, and printed.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import ceil
from typing import NamedTuple

from redis import Redis

from bench import memory
from bench.crowds import LIMIT, Crowd, State, all_times, running_crowds, tell_all, wait_for_messages
from bench.fleet import Fleet, pid_of_redis, running_fleet
from bench.kernel import prepared
from bench.outcome import Check, at_most, conclude, end_on_signals, equal, percentile, progress
from bench.pacing import stamped
from bench.processes import NEVER, running_valkey

SECONDS = 1800
AT_ONCE = 2  # crowds that open together: the cores are shared with the edges
MOST_EDGES_GB = 3.5
GB = 1e9
SETTINGS = {"AUDIT": NEVER, "HEARTBEAT": NEVER, "LINGER": "1"}


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    connections: int = 1_000_000
    edges: int = 0  # 0: as few as can hold them
    stop_gib: int = 20

    @property
    def shares(self) -> list[int]:
        """How many connections each edge gets."""
        edges = self.edges or ceil(self.connections / LIMIT)
        return [(self.connections + number) // edges for number in range(edges)]


class Held(NamedTuple):
    """Everything in place."""

    plan: Plan
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


def broadcast(held: Held) -> tuple[list[float], State, float]:
    """Send one plain PUBLISH; return when each got it, in ms, what the crowds saw, and the edges' CPU in µs."""
    before = held.fleet.cpu_us()
    with Redis.from_url(held.url) as redis:
        redis.publish("comet:all", stamped())
    wait_for_messages(held.crowds, held.plan.connections)
    state = tell_all(held.crowds, "state")
    return all_times(held.crowds, "latencies"), state, held.fleet.cpu_us() - before


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


def run(plan: Plan) -> tuple[Rows, list[Check]]:
    """Hold everything, broadcast, and return the numbers and the checks."""
    shares = plan.shares
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        progress(f"starting {len(shares)} edges and as many crowds …")
        started = time.monotonic()
        fleet = stack.enter_context(running_fleet(len(shares), url, **SETTINGS))
        start_seconds = time.monotonic() - started
        crowds = stack.enter_context(running_crowds(len(shares), SECONDS))
        held = Held(plan, fleet, crowds, url)
        empty, cpu = memories(held), fleet.cpu_us()
        opened, seconds = open_all(held)
        cpu, full = fleet.cpu_us() - cpu, memories(held)
        progress("one PUBLISH …")
        times, state, sending = broadcast(held)
        rows = memory_rows(empty, full, plan.connections) | {
            "starting the edges, s": {"value": start_seconds},
            "connections/s": {"value": opened.held / seconds},
            "edge CPU/connection, µs": {"value": cpu / plan.connections},
            "edge CPU/delivery, µs": {"value": sending / plan.connections},
            "broadcast: first, ms": {"value": percentile(times, 0)},
            "broadcast: median, ms": {"value": percentile(times, 0.5)},
            "broadcast: last, ms": {"value": percentile(times, 1)},
        }
        return rows, judge(plan, opened, state, full)


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


def judge(plan: Plan, opened: State, state: State, full: dict[str, float]) -> list[Check]:
    """Hold what was seen against what must hold."""
    return [
        equal("connections opened", opened.held, plan.connections),
        equal("connections held at the end", state.held, plan.connections),
        equal("messages received", state.messages, plan.connections),
        equal("lost, duplicates, resets", state.lost + state.duplicates + state.resets, 0),
        equal("refused or broken", state.refused + state.broken, 0),
        at_most("RSS of all edges, GB", full["edges, RSS"] / GB, MOST_EDGES_GB),
    ]


def parse_plan(words: list[str]) -> Plan:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.million", description=__doc__)
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, metavar="N")
    return Plan(**vars(parser.parse_args(words)))


def main() -> int:
    """Hold them, print, and keep the numbers."""
    end_on_signals()
    plan = parse_plan(sys.argv[1:])
    with prepared(plan.connections) as settings:
        rows, checks = run(plan)
    title = f"{plan.connections:,} connections to {len(plan.shares)} edges, one broadcast"
    return conclude("million", title, rows, checks, plan=asdict(plan), kernel=settings)


if __name__ == "__main__":
    sys.exit(main())
