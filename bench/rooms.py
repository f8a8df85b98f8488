"""Many rooms: 10,000 channels with 5 subscribers each and 1,000 messages a second (`python -m bench.rooms`).

The subscribers of a room are on different edges. The messages go through the publish script to random rooms, at a
steady rate, and carry their time; each subscriber checks that its room's messages come without a hole. Shown are the
times from publish to receipt, and what a publish costs the edges and Valkey.
"""

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median

from redis import Redis

from bench.crowds import Crowd, State, all_times, hear_all, running_crowds, tell_all, wait_for_messages
from bench.fleet import Fleet, pid_of_redis, running_fleet
from bench.outcome import Check, conclude, end_on_signals, equal, progress, spread
from bench.pacing import Paced, running_pacing
from bench.plan import read_plan
from bench.processes import cpu_ns, running_valkey

Numbers = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    channels: int = 10_000
    subscribers: int = 5  # of each channel
    edges: int = 4
    rate: int = 1_000
    seconds: int = 10
    rounds: int = 3

    @property
    def connections(self) -> int:
        """All subscribers, as many on each edge."""
        return self.channels * self.subscribers // self.edges * self.edges


def open_rooms(plan: Plan, fleet: Fleet, crowds: list[Crowd]) -> None:
    """Seat everybody: the connections are numbered through all crowds, and so the rooms go round and round."""
    share = plan.connections // plan.edges
    for number, (crowd, edge) in enumerate(zip(crowds, fleet.edges, strict=True)):
        crowd.open(share, edge.port, "/sse?id=room#", first=number * share, modulo=plan.channels)
    hear_all(crowds)


def publish(plan: Plan, url: str, valkey: int, fleet: Fleet, crowds: list[Crowd]) -> tuple[Numbers, Paced]:
    """Publish at the rate; return what was measured."""
    edges_before, valkey_before = fleet.cpu_us(), cpu_ns(valkey)
    all_times(crowds, "latencies")
    before = tell_all(crowds, "state").messages
    with running_pacing(url, plan.rate, plan.seconds, "room", plan.channels) as pacing:
        paced = pacing.wait()
    edges, store = fleet.cpu_us() - edges_before, (cpu_ns(valkey) - valkey_before) / 1000
    received = wait_for_messages(crowds, before + paced.published * plan.subscribers) - before
    return numbers(all_times(crowds, "latencies"), paced, edges, store, received), paced


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


def run(plan: Plan) -> tuple[list[Numbers], State, int, int]:
    """Run all rounds; return the numbers, what the crowds have seen, how much was published, and how
    many streams do not stand at the end of their room's log."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        valkey = pid_of_redis(url)
        fleet = stack.enter_context(running_fleet(plan.edges, url))
        crowds = stack.enter_context(running_crowds(plan.edges))
        progress(f"{plan.connections} connections to {plan.channels} channels on {plan.edges} edges …")
        open_rooms(plan, fleet, crowds)
        rounds, published = [], 0
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {plan.rate} messages/s for {plan.seconds} s …")
            one, paced = publish(plan, url, valkey, fleet, crowds)
            rounds.append(one)
            published += paced.published
        behind = streams_behind(url, crowds)
        for line in behind:
            progress(line)
        return rounds, tell_all(crowds, "state"), published, len(behind)


def judge(plan: Plan, state: State, published: int) -> list[Check]:
    """Hold what was seen against what must hold."""
    expected = published * plan.subscribers
    return [
        equal("connections held", state.held, plan.connections),
        equal("deliveries", state.messages, expected),
        equal("lost", state.lost + expected - state.messages, 0),
        equal("duplicates", state.duplicates, 0),
        equal("resets and broken connections", state.resets + state.broken, 0),
    ]


def streams_behind(url: str, crowds: list[Crowd]) -> list[str]:
    """Return a line for each stream that does not stand where its room's log does."""
    behind, tops = [], {}
    with Redis.from_url(url) as redis:
        for edge, crowd in enumerate(crowds):
            for room, offset in crowd.positions():
                if room not in tops:
                    tops[room] = int(redis.hget(f"{{comet:room{room}}}:top", "o") or 0)
                if offset != tops[room]:
                    behind.append(f"edge {edge}, room {room}: at {offset} of {tops[room]}")
    return behind


def main() -> int:
    """Publish to the rooms, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("rooms", __doc__, Plan(), sys.argv[1:])
    rounds, state, published, behind = run(plan)
    rows = {
        key: {name: pick([one[key] for one in rounds]) for name, pick in (("median", median), ("highest", max))}
        for key in rounds[0]
    }
    title = (
        f"{plan.channels:,} channels of {plan.subscribers} subscribers on {plan.edges} edges, {plan.rate:,} publishes/s"
    )
    checks = [*judge(plan, state, published), equal("streams behind their room", behind, 0)]
    return conclude("rooms", title, rows, checks, plan=asdict(plan), rounds=rounds, state=state._asdict())


if __name__ == "__main__":
    sys.exit(main())
