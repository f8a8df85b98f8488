"""The loads that are put on both edges: those of `bench.held`, `bench.poll`, `bench.broadcast`, `bench.slow`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from bench.broadcast import measure as broadcast
from bench.compare.objects import measure_objects, serving_traced
from bench.held import measure as held
from bench.held.rounds import Measurement
from bench.poll import PollPlan
from bench.report.statistics import Costs
from bench.servers.edges import serving_edge, serving_websocket
from bench.servers.server import Server
from bench.slow import measure as slow

TRACED = 2_000  # connections
SLOW_SECONDS = 8.0  # of publishing in each round
BROADCASTS, QUIET_SECONDS = 5, 0.5  # in each round; `bench.broadcast` has but one, and more in it


class Part(NamedTuple):
    """One load: its name, how an edge of a checkout is served for it, and what is measured."""

    name: str
    serving: Callable[..., AbstractContextManager[Server]]
    measurements: Sequence[Measurement]


def held_parts(scale: float) -> list[Part]:
    """Return the loads of `bench.held`: streams, streams on channels of their own, polls; and WebSockets."""
    plan = scaled(held.Plan(), scale)
    streams, channels = partial(held.measure_streams, plan=plan), partial(held.measure_channels, plan=plan)
    polls = partial(held.measure_polls, plan=plan)
    objects = partial(measure_objects, count=round(TRACED * scale))
    return [
        Part("held", serving_edge, [streams, channels, polls]),
        Part("held, WebSocket", serving_websocket, [streams, channels]),
        Part("held", serving_traced, [objects]),
        Part("held, WebSocket", partial(serving_traced, by_websocket=True), [objects]),
    ]


def poll_parts(scale: float) -> list[Part]:
    """Return the load of `bench.poll`: it has more pollers than `bench.held`."""
    return [Part("poll", serving_edge, [partial(held.measure_polls, plan=scaled(PollPlan(), scale))])]


def broadcast_parts(scale: float) -> list[Part]:
    """Return the loads of `bench.broadcast`: subscribers of one channel, and of two."""
    plan = broadcast.Plan(rounds=BROADCASTS, quiet_seconds=QUIET_SECONDS)
    plan = replace(plan, subscribers=round(plan.subscribers * scale))
    shapes = (("broadcast", 1), ("broadcast, 2 channels each", 2))
    return [Part(name, serving_edge, [partial(measure_broadcast, plan=plan, channels=n)]) for name, n in shapes]


def slow_parts(scale: float) -> list[Part]:
    """Return the load of `bench.slow`: readers, and a tenth as many that are stuck."""
    plan = slow.Plan(seconds=SLOW_SECONDS)
    plan = replace(plan, subscribers=round(plan.subscribers * scale), stuck=round(plan.stuck * scale))
    return [Part("slow", serving_edge, [partial(measure_slow, plan=plan)])]


PARTS: dict[str, Callable[[float], list[Part]]] = {
    "held": held_parts,
    "poll": poll_parts,
    "broadcast": broadcast_parts,
    "slow": slow_parts,
}


def scaled(plan: held.Plan, scale: float) -> held.Plan:
    """Return a plan with more or fewer connections."""
    return replace(plan, subscribers=round(plan.subscribers * scale), pollers=round(plan.pollers * scale))


def measure_broadcast(server: Server, plan: broadcast.Plan, channels: int) -> Costs:
    """Broadcast to its subscribers while bystanders get messages on another channel."""
    outcome = broadcast.measure(server, plan, channels)
    return {"broadcast": outcome.cpu_us, "bystander": outcome.meanwhile.p99}


def measure_slow(server: Server, plan: slow.Plan) -> Costs:
    """Publish to readers while the stuck ones are there."""
    return {"beside_stuck": slow.delivery_cost(server, plan)}
