"""What a held connection costs: one edge beside other servers, in the same run (`make bench`).

Each round starts every server fresh, one after the other, and puts the same load on them; only the server's own CPU
and memory are counted, never Redis, the load generator or this driver. A noisy machine disturbs all alike, so the
ratios, taken within a round, are what to compare; the medians of the rounds are shown. The servers are the edge, one
that keeps no history (`live`), one whose streams are WebSockets, a bare epoll loop in C, Nchan with its memory store
and with Redis, and aiohttp.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.clients.load import Load
from bench.clients.publishing import CHANNEL, payload
from bench.report.costs import BARS, Costs, Round, judge, rows, shares
from bench.report.outcome import conclude, end_on_signals, progress
from bench.report.plan import PlanWithPeers, option, read_plan
from bench.servers.churn import Visits, stream_path, warm_up
from bench.servers.leftovers import Leftovers, worst
from bench.servers.peers import Meter, Server, Serving, peers, serving_edge, serving_reference, serving_websocket

POLL_PATH = f"/poll?id={CHANNEL}"


@dataclass(frozen=True)
class Plan(PlanWithPeers):
    """How much of everything."""

    subscribers: int = 10_000
    messages: int = option(20, "one by one, and as many in a burst")
    payload_bytes: int = 104
    pollers: int = 1_000
    cycles: int = option(15, "of each poller")
    plain: bool = option(False, "plain PUBLISH instead of the publish script")
    live: bool = option(True, "an edge without history, and plain PUBLISH to it, as well")
    websocket: bool = option(True, "an edge by WebSocket as well")


Measurement = Callable[[Server], Costs]


def measure_streams(server: Server, plan: Plan) -> Costs:
    """Hold all subscribers on one channel and publish to them, one message at a time and in a burst."""
    with server.running_load() as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, stream_path(server))
        delivery, burst = deliver(server, load, plan)
    return {"memory_one": memory, "subscribe": subscribe, "delivery": delivery, "burst": burst}


def measure_channels(server: Server, plan: Plan) -> Costs:
    """Hold every subscriber on a channel of its own."""
    with server.running_load() as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, stream_path(server) + "#")
    return {"memory_each": memory, "subscribe_each": subscribe}


def open_streams(server: Server, load: Load, count: int, path: str) -> tuple[float, float]:
    """Return the memory in bytes and the CPU in microseconds that each new stream costs the server."""
    before = server.pss_bytes()
    with Meter(server) as subscribing:
        load.open_streams(count, path)
    return (server.pss_bytes() - before) / count, subscribing.microseconds / count


def deliver(server: Server, load: Load, plan: Plan) -> tuple[float, float]:
    """Return the CPU in microseconds of a delivery when messages come one at a time, and when they come at once."""
    message, deliveries = payload(plan.payload_bytes), plan.subscribers * plan.messages
    with Meter(server) as singles:
        for number in range(1, plan.messages + 1):
            server.publisher.publish([message])
            load.wait_for_messages(number)
    with Meter(server) as burst:
        server.publisher.publish([message] * plan.messages)
        received = load.wait_for_messages(2 * plan.messages)
    if received != 2 * deliveries:
        raise RuntimeError(f"{received} messages arrived instead of {2 * deliveries}")
    return singles.microseconds / deliveries, burst.microseconds / deliveries


def measure_polls(server: Server, plan: Plan) -> Costs:
    """Let kept-alive connections poll, be held, and be answered by a message, again and again."""
    if server.by_websocket:
        return {}
    message = [payload(plan.payload_bytes)]
    with server.running_load() as load:
        load.open_polls(plan.pollers)
        poll_once(server, load, message)
        with Meter(server) as polling:
            for _ in range(plan.cycles):
                poll_once(server, load, message)
    return {"poll": polling.microseconds / (plan.pollers * plan.cycles)}


def poll_once(server: Server, load: Load, message: list[bytes]) -> int:
    """Let every connection poll, publish when the server holds them all; return the size of an answer's head."""
    load.poll(POLL_PATH)
    server.settle()
    server.publisher.publish(message)
    return load.wait_for_answers()


def measure(serving: Serving, measurements: Iterable[Measurement]) -> Costs:
    """Return all costs of one server, started fresh for each kind of load."""
    costs: Costs = {}
    for measurement in measurements:
        with serving() as server:
            warm_up(server)
            costs |= measurement(server)
    return costs


def run(count: int, servers: dict[str, Serving], measurements: Sequence[Measurement]) -> list[Round]:
    """Measure all servers in each of `count` rounds, in turn from the first to the last and back."""
    order, rounds = list(servers.items()), []
    for number in range(1, count + 1):
        costs: Round = {}
        for name, serving in order:
            progress(f"round {number} of {count}: {name} …")
            costs[name] = measure(serving, measurements)
        rounds.append({name: costs[name] for name in servers})
        order.reverse()
    return rounds


def leave(plan: Plan, serving: Serving, measurements: Iterable[Measurement]) -> Leftovers:
    """Say what an edge is left with after each kind of load."""
    left = []
    for measurement in measurements:
        with serving() as server:
            visits = Visits(server, plan.forget_seconds)
            measurement(server)
            left.append(visits.leftovers(plan.subscribers))
    return worst(left)


def finish(name: str, title: str, plan: Plan, rounds: list[Round], left: Leftovers) -> int:
    """Print, keep the numbers, and return the exit code."""
    table, checks = {**rows(rounds), **left.rows()}, [*judge(BARS, rounds), *left.checks()]
    return conclude(name, title, plan, table, checks, shares(rounds), per_round=rounds)


def main() -> int:
    """Measure everything about held connections."""
    end_on_signals()
    plan = read_plan("held", __doc__, Plan(), sys.argv[1:])
    edge: Serving = partial(serving_edge, plain=plan.plain)
    servers: dict[str, Serving] = {"edge": edge, "reference": serving_reference}
    servers |= peers() if plan.peers else {}
    servers |= {"live": partial(serving_edge, plain=True, HISTORY_SIZE="0")} if plan.live else {}
    servers |= {"websocket": partial(serving_websocket, plain=plan.plain)} if plan.websocket else {}
    measurements = [partial(one, plan=plan) for one in (measure_streams, measure_channels, measure_polls)]
    measured = run(plan.rounds, servers, measurements)
    title = f"{plan.subscribers} subscribers, {plan.pollers} pollers, median of {plan.rounds}"
    return finish("held", title, plan, measured, leave(plan, edge, measurements))
