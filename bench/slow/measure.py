"""Readers that read and readers that are stuck, on one channel of one server."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from bench.clients.latency import Lateness, Receivers, receiving
from bench.clients.ticker import Ticker
from bench.report.plan import PlanWithPeers, option
from bench.servers.server import Meter, Server
from bench.slow.inspect import Judgement, Snapshot, inspect, judge

CHANNEL = "room"
SNAPSHOT_INTERVAL = 0.2


@dataclass(frozen=True)
class Plan(PlanWithPeers):
    """How much of everything."""

    subscribers: int = option(10_000, "the stuck ones among them")
    stuck: int = 1_000
    payload_bytes: int = 1024
    burst: int = option(4, "messages published together")
    bursts_per_second: float = 2.0
    seconds: float = option(10.0, "of publishing without stuck readers")
    patience: float = option(40.0, "seconds the stuck may stay")
    policy: str = option("disconnect", "the edge's COMET_SLOW_POLICY")


class Outcome(NamedTuple):
    """The others' lateness without and with the stuck readers, and what became of these."""

    without: Lateness
    with_stuck: Lateness
    stuck: Judgement


def measure(server: Server, plan: Plan) -> Outcome:
    """Publish to the readers alone, then to them and the stuck ones."""
    with ExitStack() as stack:
        readers = stack.enter_context(receiving(server.port))
        stuck = stack.enter_context(receiving(server.port))
        readers.open(plan.subscribers - plan.stuck, CHANNEL)
        server.settle()
        publish(server, readers, plan, 1.0)  # a rehearsal
        without, _ = publish(server, readers, plan, plan.seconds)
        stuck.open_stuck(plan.stuck, CHANNEL)
        time.sleep(SNAPSHOT_INTERVAL)
        server.settle()  # it has accepted all of them
        joined = inspect(server)
        with_stuck, snapshots = publish(server, readers, plan, plan.patience, joined)
    return Outcome(without, with_stuck, judge([joined, *snapshots], plan.stuck))


def publish(
    server: Server, readers: Receivers, plan: Plan, seconds: float, joined: Snapshot | None = None
) -> tuple[Lateness, list[Snapshot]]:
    """Publish for some time, or until all stuck readers that had joined are gone; return what the readers noted."""
    readers.reset()
    ticker = Ticker(server.connect, CHANNEL, 1 / plan.bursts_per_second, size=plan.payload_bytes, burst=plan.burst)
    deadline, snapshots = time.monotonic() + seconds, [inspect(server)]
    ticker.start()
    while time.monotonic() < deadline and not (joined and snapshots[-1].gone_since(joined) >= plan.stuck):
        time.sleep(SNAPSHOT_INTERVAL)
        snapshots.append(inspect(server))
    readers.wait(ticker.stop() * (plan.subscribers - plan.stuck))
    server.settle()
    return readers.report(), [*snapshots, inspect(server)]


def delivery_cost(server: Server, plan: Plan) -> float:
    """Return the CPU in microseconds that a delivery to a reader costs while the stuck ones are there."""
    with receiving(server.port) as readers, receiving(server.port) as stuck:
        readers.open(plan.subscribers - plan.stuck, CHANNEL)
        stuck.open_stuck(plan.stuck, CHANNEL)
        server.settle()
        with Meter(server) as meter:
            publish(server, readers, plan, plan.seconds)
        return meter.microseconds / readers.count()
