"""50,000 channels and 60,000 subscribers come, get their messages, and leave (`python -m bench.ideawu`).

The shape that broke nginx-push-stream in 2013, which led to icomet: very many channels of one or two subscribers.
All connect; one message goes to each of 1,000 random channels; then all leave. Descriptors must go back to where they
were. Memory is freed, too, but the interpreter keeps most of it for the next time instead of giving it back; so it is
done twice, and what the second round adds to the first would be a leak.
"""

import random
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from redis import Redis

from bench.clients.publishing import publishing_to_redis, stamped
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
from bench.servers.leftovers import Leftovers, Rest, at_rest
from bench.servers.valkey import pid_of_redis, running_valkey
from bench.system import memory

LINGER = 1
HEARTBEAT = 10  # seconds, in which the timing wheel may still remember a closed connection
UNSUBSCRIBE_TIMEOUT = 60.0
Numbers = dict[str, float]


@dataclass(frozen=True)
class IdeawuPlan(Plan):
    """How much of everything."""

    rounds: int = option(2, "at least 2: what a later one adds to the first would be a leak")
    channels: int = 50_000
    subscribers: int = 60_000
    edges: int = 4
    messages: int = option(1_000, "each to a random channel")

    @property
    def shares(self) -> list[int]:
        """The subscribers of each edge."""
        return shares(self.subscribers, self.edges)


class Round:
    """One round: all subscribers come, get messages, and leave."""

    def __init__(self, plan: IdeawuPlan, cluster: Cluster, clients: list[Subscribers], url: str) -> None:
        self._plan = plan
        self._cluster = cluster
        self._clients = clients
        self._url = url
        self._valkey = pid_of_redis(url)
        self._own = self._subscribed()  # channels of the edges themselves, without subscribers

    def run(self) -> Numbers:
        """Return what one round cost and left behind."""
        return self._come() | self._get_messages() | self._leave()

    def _come(self) -> Numbers:
        first, before = 0, at_rest(self._cluster).memory
        cpu, started = self._cluster.cpu_us(), time.monotonic()
        for one, port, share in zip(self._clients, self._cluster.ports, self._plan.shares, strict=True):
            one.open(share, port, "/sse?id=user#", first=first, modulo=self._plan.channels)
            first += share
        self.opened = wait_for_all(self._clients)
        seconds, held = time.monotonic() - started, at_rest(self._cluster).memory
        count = self._plan.subscribers
        return {
            "connections/s": count / seconds,
            "edge CPU/connection, µs": (self._cluster.cpu_us() - cpu) / count,
            "edge memory/connection, B": (held - before) / count,
            "edges with all, MiB": held / memory.MIB,
            "Valkey with all, MiB": memory.of_processes([self._valkey]).rss / memory.MIB,
        }

    def _get_messages(self) -> Numbers:
        channels = random.sample(range(self._plan.channels), self._plan.messages)
        expected = sum(len(range(channel, self._plan.subscribers, self._plan.channels)) for channel in channels)
        all_times(self._clients, "latencies")
        with publishing_to_redis(self._url, plain=False) as publisher:
            for channel in channels:
                publisher.publish([stamped()], f"user{channel}")
        got = wait_for_messages(self._clients, self.opened.messages + expected) - self.opened.messages
        times = spread(all_times(self._clients, "latencies"))
        self.missing = expected - got
        return {"deliveries": got, "delivery p50, ms": times["p50"], "delivery p99, ms": times["p99"]}

    def _leave(self) -> Numbers:
        self.state = command_all(self._clients, "forget")
        deadline = time.monotonic() + UNSUBSCRIBE_TIMEOUT
        while self._subscribed() > self._own and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(self._plan.forget_seconds)
        rest = at_rest(self._cluster)
        return {"descriptors afterwards": rest.files, "edges afterwards, MiB": rest.memory / memory.MIB}

    def _subscribed(self) -> int:
        """Return the number of channels to which the edges are subscribed."""
        with Redis.from_url(self._url) as redis:
            return int(redis.info("stats")["pubsub_channels"])


def warm_up(cluster: Cluster, clients: list[Subscribers]) -> Rest:
    """Let each edge serve one subscriber; return what they have at rest after that."""
    come_and_go(clients, cluster.ports, [1] * len(clients))
    time.sleep(2 * LINGER)
    return at_rest(cluster)


def run(plan: IdeawuPlan) -> tuple[list[Numbers], list[Check], Leftovers]:
    """Run all rounds; return the numbers, the checks, and what is left behind."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        cluster = stack.enter_context(running_cluster(plan.edges, url, LINGER=str(LINGER), HEARTBEAT=str(HEARTBEAT)))
        clients = stack.enter_context(running_subscribers(plan.edges))
        before, one = warm_up(cluster, clients), Round(plan, cluster, clients, url)
        rounds, missing, held = [], 0, []
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {plan.subscribers} subscribers, {plan.channels} channels …")
            rounds.append({"edges before, MiB": before.memory / memory.MIB} | one.run())
            missing += one.missing
            held.append(one.opened.held)
        return rounds, judge(plan, missing, held, one.state), leftovers(plan, before, rounds)


def leftovers(plan: IdeawuPlan, before: Rest, rounds: list[Numbers]) -> Leftovers:
    """Return what is left behind: the rounds themselves are the coming and going again."""
    first, last = (round(one["edges afterwards, MiB"] * memory.MIB) for one in (rounds[0], rounds[-1]))
    files = int(rounds[-1]["descriptors afterwards"]) - before.files
    return Leftovers(plan.subscribers + plan.channels, plan.edges, files, first - before.memory, last - first)


def judge(plan: IdeawuPlan, missing: int, held: list[int], state: State) -> list[Check]:
    """Hold what was seen against what must hold."""
    return [
        equal("fewest connections held", min(held), plan.subscribers),
        equal("messages missing", missing + state.lost, 0),
        equal("duplicates, resets, refused, broken", state.duplicates + state.resets + state.refused + state.broken, 0),
    ]


def main() -> int:
    """Run the rounds, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("ideawu", __doc__, IdeawuPlan(), sys.argv[1:])
    rounds, checks, left = run(plan)
    rows = {key: {f"round {number}": one[key] for number, one in enumerate(rounds, 1)} for key in rounds[0]}
    rows |= left.rows(f"round {len(rounds)}")
    title = f"{plan.subscribers:,} subscribers of {plan.channels:,} channels on {plan.edges} edges"
    return conclude("ideawu", title, plan, rows, [*checks, *left.checks()], per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
