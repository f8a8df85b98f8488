"""Many rooms: 10,000 channels with 5 subscribers each and 1,000 messages a second (`python -m bench.rooms`).

The subscribers of a room are on different edges. The messages go through the publish script to random rooms, at a
steady rate, and carry their time; each subscriber checks that its room's messages come without a hole. Shown are the
times from publish to receipt, and what a publish costs the edges and Valkey.
"""

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

from redis import Redis

from bench.clients.pacing import Paced, running_pacing
from bench.clients.subscribers import (
    State,
    Subscribers,
    all_times,
    come_and_go,
    command_all,
    running_subscribers,
    shares,
    wait_for_all,
    wait_for_messages,
)
from bench.report.checks import Check, equal
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from bench.report.statistics import spread
from bench.servers.edges import Cluster, running_cluster
from bench.servers.leftovers import Baseline, Leftovers
from bench.servers.valkey import pid_of_redis, running_valkey
from bench.system.accounting import cpu_ns

Numbers = dict[str, float]


@dataclass(frozen=True)
class RoomsPlan(Plan):
    """How much of everything."""

    channels: int = 10_000
    subscribers: int = option(5, "of each channel")
    edges: int = 4
    rate: int = option(1_000, "messages a second, to all channels together")
    seconds: int = option(10, "of publishing in each round")

    @property
    def connections(self) -> int:
        """All subscribers."""
        return self.channels * self.subscribers


def open_rooms(plan: RoomsPlan, cluster: Cluster, clients: list[Subscribers]) -> None:
    """Open all connections: they are numbered through all client processes, and so the rooms go round and round."""
    first = 0
    for one, port, share in zip(clients, cluster.ports, shares(plan.connections, plan.edges), strict=True):
        one.open(share, port, "/sse?id=room#", first=first, modulo=plan.channels)
        first += share
    wait_for_all(clients)


def publish(
    plan: RoomsPlan, url: str, valkey: int, cluster: Cluster, clients: list[Subscribers]
) -> tuple[Numbers, Paced]:
    """Publish at the rate; return what was measured."""
    edges_before, valkey_before = cluster.cpu_us(), cpu_ns(valkey)
    all_times(clients, "latencies")
    before = command_all(clients, "state").messages
    with running_pacing(url, plan.rate, plan.seconds, "room", plan.channels) as pacing:
        paced = pacing.wait()
    edges, store = cluster.cpu_us() - edges_before, (cpu_ns(valkey) - valkey_before) / 1000
    received = wait_for_messages(clients, before + paced.published * plan.subscribers) - before
    return numbers(all_times(clients, "latencies"), paced, edges, store, received), paced


def numbers(times: list[float], paced: Paced, edges: float, store: float, received: int) -> Numbers:
    """Return the numbers of one round."""
    return {
        "publishes/s": paced.published / paced.seconds,
        "publish late at most, ms": paced.latest_ms,
        **{f"end to end {name}, ms": value for name, value in spread(times).items()},
        "edge CPU/publish, µs": edges / paced.published,
        "edge CPU/delivery, µs": edges / max(received, 1),
        "Valkey CPU/publish, µs": store / paced.published,
    }


class Result(NamedTuple):
    """What was measured, what the clients saw, and what is left behind."""

    rounds: list[Numbers]
    state: State
    published: int
    behind: int  # streams whose position is not the end of their room's log
    left: Leftovers


def run(plan: RoomsPlan) -> Result:
    """Run all rounds."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        cluster = stack.enter_context(running_cluster(plan.edges, url, LINGER="1"))
        clients = stack.enter_context(running_subscribers(plan.edges))
        come_and_go(clients, cluster.ports, [1] * plan.edges)
        baseline = Baseline(cluster, plan.forget_seconds)
        progress(f"{plan.connections} connections to {plan.channels} channels on {plan.edges} edges …")
        open_rooms(plan, cluster, clients)
        rounds, published = publish_all(plan, url, cluster, clients)
        behind = streams_behind(url, clients)
        for line in behind:
            progress(line)
        state = command_all(clients, "state")
        command_all(clients, "forget")
        guests = partial(come_and_go, clients, cluster.ports, shares(plan.connections, plan.edges))
        left = baseline.compare(plan.connections + plan.channels * plan.edges, guests)
        return Result(rounds, state, published, len(behind), left)


def publish_all(plan: RoomsPlan, url: str, cluster: Cluster, clients: list[Subscribers]) -> tuple[list[Numbers], int]:
    """Publish in every round; return the numbers of each, and the number of all messages."""
    rounds, published, valkey = [], 0, pid_of_redis(url)
    for number in range(1, plan.rounds + 1):
        progress(f"round {number} of {plan.rounds}: {plan.rate} messages/s for {plan.seconds} s …")
        one, paced = publish(plan, url, valkey, cluster, clients)
        rounds.append(one)
        published += paced.published
    return rounds, published


def judge(plan: RoomsPlan, result: Result) -> list[Check]:
    """Hold what was seen against what must hold."""
    state, expected = result.state, result.published * plan.subscribers
    return [
        equal("connections held", state.held, plan.connections),
        equal("deliveries", state.messages, expected),
        equal("lost", state.lost + expected - state.messages, 0),
        equal("duplicates", state.duplicates, 0),
        equal("resets and broken connections", state.resets + state.broken, 0),
        equal("streams behind their room", result.behind, 0),
        *result.left.checks(),
    ]


def streams_behind(url: str, clients: list[Subscribers]) -> list[str]:
    """Return a line for each stream whose position is not the end of its room's log."""
    behind, tops = [], {}
    with Redis.from_url(url) as redis:
        for edge, one in enumerate(clients):
            for room, offset in one.positions():
                if room not in tops:
                    tops[room] = int(redis.hget(f"{{comet:room{room}}}:top", "o") or 0)
                if offset != tops[room]:
                    behind.append(f"edge {edge}, room {room}: at {offset} of {tops[room]}")
    return behind


def main() -> int:
    """Publish to the rooms, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("rooms", __doc__, RoomsPlan(), sys.argv[1:])
    result = run(plan)
    rows = {
        key: {name: pick([one[key] for one in result.rounds]) for name, pick in (("median", median), ("highest", max))}
        for key in result.rounds[0]
    }
    title = (
        f"{plan.channels:,} channels of {plan.subscribers} subscribers on {plan.edges} edges, {plan.rate:,} publishes/s"
    )
    rows |= result.left.rows("median")
    return conclude("rooms", title, plan, rows, judge(plan, result), per_round=result.rounds)


if __name__ == "__main__":
    sys.exit(main())
