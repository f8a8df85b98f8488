"""50,000 channels and 60,000 subscribers come, get their messages, and leave (`python -m bench.ideawu`).

The shape that broke nginx-push-stream in 2013, which led to icomet: very many channels of one or two subscribers.
All connect; one message goes to each of 1,000 random channels; then everybody leaves. Descriptors must go back to where
they were. Memory is freed, too, but the interpreter keeps most of it for the next time instead of giving it back; so it
is done twice, and what the second round adds to the first would be a leak.
"""

import random
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from redis import Redis

from bench import memory
from bench.crowds import Crowd, State, all_times, hear_all, running_crowds, tell_all, wait_for_messages
from bench.fleet import Fleet, pid_of_redis, running_fleet
from bench.outcome import Check, at_most, conclude, end_on_signals, equal, progress, spread
from bench.pacing import stamped
from bench.plan import read_plan
from bench.processes import running_valkey
from bench.publishing import publishing_to_redis

LINGER = 1
HEARTBEAT = 10  # seconds; for so long the timing wheel may remember who has left
PATIENCE = 60.0
POOL = 3  # connections to Redis an edge may open on top when it is busy
GROWTH = 1.0  # MiB an edge may have more after the second round than after the first
Numbers = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    channels: int = 50_000
    subscribers: int = 60_000
    edges: int = 4
    messages: int = 1_000
    rounds: int = 2

    @property
    def share(self) -> int:
        """The subscribers of one edge."""
        return self.subscribers // self.edges


class Round:
    """One round: everybody comes, gets messages, and leaves."""

    def __init__(self, plan: Plan, fleet: Fleet, crowds: list[Crowd], url: str) -> None:
        self._plan = plan
        self._fleet = fleet
        self._crowds = crowds
        self._url = url
        self._pids = [edge.pid for edge in fleet.edges]
        self._valkey = pid_of_redis(url)

    def run(self) -> Numbers:
        """Return what one round cost and left behind."""
        return self._come() | self._get_messages() | self._leave()

    def rest(self) -> tuple[int, float]:
        """Return the edges' descriptors and memory (MiB, by share) at rest."""
        self._fleet.cpu_us()
        return self._fleet.files(), memory.of_processes(self._pids).pss / memory.MIB

    def _come(self) -> Numbers:
        share, modulo = self._plan.share, self._plan.channels
        _, before = self.rest()
        cpu, started = self._fleet.cpu_us(), time.monotonic()
        for number, (crowd, edge) in enumerate(zip(self._crowds, self._fleet.edges, strict=True)):
            crowd.open(share, edge.port, "/sse?id=user#", first=number * share, modulo=modulo)
        self.opened = hear_all(self._crowds)
        seconds = time.monotonic() - started
        _, held = self.rest()
        count = share * self._plan.edges
        return {
            "connections/s": count / seconds,
            "edge CPU/connection, µs": (self._fleet.cpu_us() - cpu) / count,
            "edge memory/connection, B": (held - before) * memory.MIB / count,
            "edges with all, MiB": held,
            "Valkey with all, MiB": memory.of_processes([self._valkey]).rss / memory.MIB,
        }

    def _get_messages(self) -> Numbers:
        channels = random.sample(range(self._plan.channels), self._plan.messages)
        count = self._plan.share * self._plan.edges
        expected = sum(len(range(channel, count, self._plan.channels)) for channel in channels)
        all_times(self._crowds, "latencies")
        with publishing_to_redis(self._url, plain=False) as publisher:
            for channel in channels:
                publisher.publish([stamped()], f"user{channel}")
        got = wait_for_messages(self._crowds, self.opened.messages + expected) - self.opened.messages
        times = spread(all_times(self._crowds, "latencies"))
        self.missing = expected - got
        return {"deliveries": got, "delivery p50, ms": times["p50"], "delivery p99, ms": times["p99"]}

    def _leave(self) -> Numbers:
        self.state = tell_all(self._crowds, "forget")
        deadline = time.monotonic() + PATIENCE
        while self._subscribed() > 2 * len(self._pids) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(HEARTBEAT + 1)
        files, left = self.rest()
        return {"descriptors afterwards": files, "edges afterwards, MiB": left}

    def _subscribed(self) -> int:
        """Return how many channels the edges are subscribed to; each has one of its own, for its probe."""
        with Redis.from_url(self._url) as redis:
            return int(redis.info("stats")["pubsub_channels"])


def warm_up(fleet: Fleet, crowds: list[Crowd], last: Round) -> tuple[int, float]:
    """Let each edge serve one subscriber; return descriptors and memory at rest after that."""
    for crowd, edge in zip(crowds, fleet.edges, strict=True):
        crowd.open(1, edge.port, "/sse?id=warm")
        crowd.hear()
    tell_all(crowds, "forget")
    time.sleep(2 * LINGER)
    return last.rest()


def run(plan: Plan) -> tuple[list[Numbers], list[Check]]:
    """Run all rounds; return the numbers and the checks."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        fleet = stack.enter_context(running_fleet(plan.edges, url, LINGER=str(LINGER), HEARTBEAT=str(HEARTBEAT)))
        crowds = stack.enter_context(running_crowds(plan.edges))
        one = Round(plan, fleet, crowds, url)
        files, at_rest = warm_up(fleet, crowds, one)
        rounds, missing, held = [], 0, []
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {plan.subscribers} subscribers, {plan.channels} channels …")
            rounds.append({"edges before, MiB": at_rest} | one.run())
            missing += one.missing
            held.append(one.opened.held)
        return rounds, judge(plan, rounds, files, missing, held, one.state)


def judge(plan: Plan, rounds: list[Numbers], files: int, missing: int, held: list[int], state: State) -> list[Check]:
    """Hold what was seen against what must hold."""
    growth = (rounds[-1]["edges afterwards, MiB"] - rounds[0]["edges afterwards, MiB"]) / plan.edges
    more_files = (rounds[-1]["descriptors afterwards"] - files) / plan.edges
    return [
        equal("fewest connections held", min(held), plan.share * plan.edges),
        equal("messages missing", missing + state.lost, 0),
        equal("duplicates, resets, refused, broken", state.duplicates + state.resets + state.refused + state.broken, 0),
        at_most("descriptors that an edge has more than before", more_files, POOL),
        at_most("MiB that a later round adds to an edge", growth, GROWTH),
    ]


def main() -> int:
    """Run the rounds, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("ideawu", __doc__, Plan(), sys.argv[1:])
    rounds, checks = run(plan)
    rows = {key: {f"round {number}": one[key] for number, one in enumerate(rounds, 1)} for key in rounds[0]}
    title = f"{plan.subscribers:,} subscribers of {plan.channels:,} channels on {plan.edges} edges"
    return conclude("ideawu", title, rows, checks, plan=asdict(plan), rounds=rounds)


if __name__ == "__main__":
    sys.exit(main())
