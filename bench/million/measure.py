"""Everything that is measured while a million connections are opened and get a message."""

import time
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from redis import Redis

from bench.clients.publishing import stamped
from bench.clients.subscribers import (
    MAX_CONNECTIONS,
    State,
    Subscribers,
    all_times,
    command_all,
    shares,
    wait_for_messages,
)
from bench.report.checks import Check, at_most, equal
from bench.report.console import progress
from bench.report.plan import Plan, option
from bench.report.statistics import percentile
from bench.servers.edges import Cluster
from bench.servers.valkey import pid_of_redis
from bench.system import memory

MAX_OPENING = 2  # client processes that open together: the cores are shared with the edges
MAX_EDGES_GB = 3.5
GB = 1e9

Rows = dict[str, dict[str, float]]


@dataclass(frozen=True)
class MillionPlan(Plan):
    """How much of everything."""

    rounds: int = option(1, "broadcasts to all")
    connections: int = 1_000_000
    edges: int = option(0, "0: as few as can hold them")
    stop_gib: int = option(20, "of this machine's memory in use; past that it gives up")

    @property
    def shares(self) -> list[int]:
        """The number of connections of each edge."""
        return shares(self.connections, self.edges or ceil(self.connections / MAX_CONNECTIONS))


class Running(NamedTuple):
    """Everything in place."""

    plan: MillionPlan
    cluster: Cluster
    clients: list[Subscribers]
    url: str


def measure(running: Running) -> tuple[Rows, list[Check]]:
    """Open everything and broadcast."""
    plan, empty, cpu = running.plan, memories(running), running.cluster.cpu_us()
    opened, seconds = open_all(running)
    cpu, full = running.cluster.cpu_us() - cpu, memories(running)
    sent = broadcast(running)
    rows = memory_rows(empty, full, plan.connections) | {
        "connections/s": {"value": opened.held / seconds},
        "edge CPU/connection, µs": {"value": cpu / plan.connections},
        "edge CPU/delivery, µs": {"value": sent.cpu_us / (plan.connections * plan.rounds)},
        "broadcast: first, ms": {"value": percentile(sent.times, 0)},
        "broadcast: median, ms": {"value": percentile(sent.times, 0.5)},
        "broadcast: last, ms": {"value": percentile(sent.times, 1)},
    }
    return rows, judge(plan, opened, sent.state, full)


def open_all(running: Running) -> tuple[State, float]:
    """Open everything, a few client processes at a time; return their state and the seconds it took."""
    started, state, shares, clients = time.monotonic(), State(), running.plan.shares, running.clients
    for start in range(0, len(shares), MAX_OPENING):
        some = range(start, min(start + MAX_OPENING, len(shares)))
        for number in some:
            clients[number].open(shares[number], running.cluster.ports[number], "/sse?id=all")
        for number in some:
            state = State(*map(sum, zip(state, clients[number].wait(), strict=True)))
        in_use = memory.used() / 2**30
        progress(f"{state.held:>9,} held, {in_use:.1f} GiB in use, {state.held / (time.monotonic() - started):,.0f}/s")
        if in_use > running.plan.stop_gib:
            raise RuntimeError(f"stopped at {state.held:,}: more than {running.plan.stop_gib} GiB are in use")
    return state, time.monotonic() - started


class Broadcasts(NamedTuple):
    """What all broadcasts together cost, and what the clients saw."""

    times: list[float]  # from the PUBLISH until each had it, in ms, sorted
    state: State
    cpu_us: float


def broadcast(running: Running) -> Broadcasts:
    """Send one plain PUBLISH after the other, each when all clients have had the last."""
    before = running.cluster.cpu_us()
    with Redis.from_url(running.url) as redis:
        for number in range(1, running.plan.rounds + 1):
            progress(f"PUBLISH {number} of {running.plan.rounds} …")
            redis.publish("comet:all", stamped())
            wait_for_messages(running.clients, number * running.plan.connections)
    state = command_all(running.clients, "state")
    return Broadcasts(all_times(running.clients, "latencies"), state, running.cluster.cpu_us() - before)


def memories(running: Running) -> dict[str, float]:
    """Return the memory of everything, in bytes."""
    edges = memory.of_processes(running.cluster.pids)
    clients = memory.of_processes(one.pid for one in running.clients)
    valkey = memory.of_processes([pid_of_redis(running.url)])
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
        at_most("RSS of all edges, GB", full["edges, RSS"] / GB, MAX_EDGES_GB),
    ]
