"""The bars of the benchmarks that measure costs, and the rows of their tables: a ratio is taken within a round."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.report.checks import Check, at_most
from bench.report.statistics import Round, median_and_range, medians, ratios

ROWS = {
    "memory_one": "memory/connection, one channel, B",
    "memory_each": "memory/connection, channel each, B",
    "objects_one": "memory/connection as objects, one channel, B",
    "objects_each": "memory/connection as objects, channel each, B",
    "subscribe": "CPU/subscribe, one channel, µs",
    "subscribe_each": "CPU/subscribe, channel each, µs",
    "delivery": "CPU/delivery, one by one, µs",
    "burst": "CPU/message, burst, µs",
    "poll": "CPU/long-poll cycle, µs",
    "head": "head of a poll's answer, B",
    "broadcast": "CPU/delivery, µs",
    "beside_stuck": "CPU/delivery, stuck readers beside, µs",
    "bystander": "bystander p99 during a broadcast, ms",
}
COMPARED = ("reference", "nchan", "pure")


class Bar(NamedTuple):
    """A limit on one cost: on a server's own number, or on its ratio to another server's in the same round."""

    key: str
    limit: float
    over: str = ""
    of: str = "edge"


BARS = (
    Bar("poll", 1.25, "nchan", of="pure"),
    Bar("memory_one", 400),
    Bar("memory_each", 900),
    Bar("delivery", 1.10, "reference"),
    Bar("delivery", 0.80, "nchan"),
    Bar("delivery", 1.03, "live"),
    Bar("burst", 0.20, "nchan"),
    Bar("subscribe", 2.0, "reference"),
    Bar("subscribe", 1.3, "nchan"),
    Bar("poll", 2.5, "reference"),
    Bar("poll", 1.2, "nchan"),
    Bar("memory_one", 500, of="websocket"),
    Bar("delivery", 1.15, "edge", of="websocket"),
)


def judge(bars: Iterable[Bar], rounds: Sequence[Round]) -> list[Check]:
    """Hold every bar against the medians, if what it is about was measured."""
    measured = rounds[0]
    known = [bar for bar in bars if {bar.of, bar.over or bar.of} <= measured.keys()]
    return [_judge(bar, rounds) for bar in known if bar.key in measured[bar.of]]


def _judge(bar: Bar, rounds: Sequence[Round]) -> Check:
    what = ROWS[bar.key] if bar.of == "edge" else f"{bar.of}: {ROWS[bar.key]}"
    if not bar.over:
        return at_most(what, medians(rounds)[bar.of][bar.key], bar.limit)
    return at_most(f"{what} ÷ {bar.over}'s", median(ratios(rounds, bar.key, bar.over, bar.of)), bar.limit)


def rows(rounds: Sequence[Round]) -> Mapping[str, Mapping[str, float]]:
    """Return the medians, a column per server."""
    middle = medians(rounds)
    return {
        ROWS[key]: {server: costs[key] for server, costs in middle.items() if key in costs} for key in middle["edge"]
    }


def shares(rounds: Sequence[Round]) -> Mapping[str, Mapping[str, str]]:
    """Return what the edge's CPU is as a multiple of others', with the spread of the rounds."""
    servers = [server for server in COMPARED if server in rounds[0]]
    keys = [key for key in rounds[0]["edge"] if ROWS[key].endswith("µs")]
    return {ROWS[key]: {f"edge ÷ {one}": median_and_range(ratios(rounds, key, one)) for one in servers} for key in keys}
