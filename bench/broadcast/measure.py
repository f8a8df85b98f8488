"""Broadcasts to many subscribers of one server, while bystanders on another channel get messages, too."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from bench.clients.latency import Lateness, Receivers, receiving
from bench.clients.publishing import stamped
from bench.clients.ticker import Ticker
from bench.report.plan import PlanWithPeers, option
from bench.report.statistics import percentile
from bench.servers.server import Meter, Server

CROWD, BYSTANDERS = "room", "corner"
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
    """Hold all subscribers, each on `channels` channels, and broadcast on one of these again and again."""
    with ExitStack() as stack:
        crowd = stack.enter_context(receiving(server.port, idle=True))
        bystanders = stack.enter_context(receiving(server.port))
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
    server.publisher.publish([stamped(plan.payload_bytes)], CROWD)
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
    ticker = Ticker(server.connect, BYSTANDERS, plan.every_ms / 1000, size=plan.payload_bytes)
    ticker.start()
    while not ticker.published and ticker.is_alive():
        time.sleep(0.001)
    return ticker
