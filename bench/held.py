"""What a held connection costs: one edge beside a bare C epoll loop, in the same run (`make bench`).

Each round starts both servers fresh, one after the other, and puts the same load on them; only the server's own CPU
and memory are counted, never Redis, the load generator or this driver. A noisy machine disturbs both alike, so the
ratios, taken within a round, are what to compare; the medians of the rounds are shown.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.load import Load, running_load
from bench.processes import (
    HERE,
    compile_c,
    cpu_ns,
    pss_bytes,
    running_edge,
    running_reference,
    running_valkey,
    settle,
)
from bench.publishing import CHANNEL, Publisher, payload, publishing_to_redis, publishing_to_reference
from bench.report import BARS, ROWS, Costs, judge, show

RESULTS = HERE / "results" / "held.json"
STREAM_PATH = f"/sse?id={CHANNEL}"
POLL_PATH = f"/poll?id={CHANNEL}"


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    subscribers: int = 10_000
    messages: int = 20
    payload_bytes: int = 104
    pollers: int = 1_000
    cycles: int = 15
    rounds: int = 5
    plain: bool = False


class Server(NamedTuple):
    """A running server, how to publish to it, and the program that puts load on it."""

    pid: int
    port: int
    publisher: Publisher
    load: Path


Serving = Callable[[], AbstractContextManager[Server]]


class Meter:
    """CPU time of a server over a block, from rest to rest."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.microseconds = 0.0

    def __enter__(self) -> "Meter":
        settle(self._pid)
        self._before = cpu_ns(self._pid)
        return self

    def __exit__(self, *_: object) -> None:
        settle(self._pid)
        self.microseconds = (cpu_ns(self._pid) - self._before) / 1000


@contextmanager
def serving_edge(load: Path, *, plain: bool) -> Iterator[Server]:
    """Run an edge with a Redis of its own."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        pid, port = stack.enter_context(running_edge(url))
        yield Server(pid, port, stack.enter_context(publishing_to_redis(url, plain=plain)), load)


@contextmanager
def serving_reference(program: Path, load: Path) -> Iterator[Server]:
    """Run the C reference."""
    with running_reference(program) as (pid, port), publishing_to_reference(port) as publisher:
        yield Server(pid, port, publisher, load)


def warm_up(server: Server) -> None:
    """Let a server do everything once, so that what it loads or allocates only once is not counted."""
    with running_load(server.load, server.port) as load:
        load.open_streams(1, STREAM_PATH)
        server.publisher.publish([payload(10)])
        load.wait_for_messages(1)
    settle(server.pid)


def measure_streams(server: Server, plan: Plan) -> Costs:
    """Hold all subscribers on one channel and publish to them, one message at a time and in a burst."""
    warm_up(server)
    with running_load(server.load, server.port) as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, STREAM_PATH)
        delivery, burst = deliver(server, load, plan)
    return {"memory_one": memory, "subscribe": subscribe, "delivery": delivery, "burst": burst}


def measure_channels(server: Server, plan: Plan) -> Costs:
    """Hold every subscriber on a channel of its own."""
    warm_up(server)
    with running_load(server.load, server.port) as load:
        memory, subscribe = open_streams(server, load, plan.subscribers, STREAM_PATH + "#")
    return {"memory_each": memory, "subscribe_each": subscribe}


def open_streams(server: Server, load: Load, count: int, path: str) -> tuple[float, float]:
    """Return the memory in bytes and the CPU in microseconds that each new stream costs the server."""
    before = pss_bytes(server.pid)
    with Meter(server.pid) as subscribing:
        load.open_streams(count, path)
    return (pss_bytes(server.pid) - before) / count, subscribing.microseconds / count


def deliver(server: Server, load: Load, plan: Plan) -> tuple[float, float]:
    """Return the CPU in microseconds of a delivery when messages come one at a time, and when they come at once."""
    message, deliveries = payload(plan.payload_bytes), plan.subscribers * plan.messages
    with Meter(server.pid) as singles:
        for number in range(1, plan.messages + 1):
            server.publisher.publish([message])
            load.wait_for_messages(number)
    with Meter(server.pid) as burst:
        server.publisher.publish([message] * plan.messages)
        received = load.wait_for_messages(2 * plan.messages)
    if received != 2 * deliveries:
        raise RuntimeError(f"{received} messages arrived instead of {2 * deliveries}")
    return singles.microseconds / deliveries, burst.microseconds / deliveries


def measure_polls(server: Server, plan: Plan) -> Costs:
    """Let kept-alive connections poll, be held, and be answered by a message, again and again."""
    message = [payload(plan.payload_bytes)]
    with running_load(server.load, server.port) as load:
        load.open_polls(plan.pollers)
        poll_once(server, load, message)
        with Meter(server.pid) as polling:
            for _ in range(plan.cycles):
                poll_once(server, load, message)
    return {"poll": polling.microseconds / (plan.pollers * plan.cycles)}


def poll_once(server: Server, load: Load, message: list[bytes]) -> None:
    """Let every connection poll, and publish when the server holds them all."""
    load.poll(POLL_PATH)
    settle(server.pid)
    server.publisher.publish(message)
    load.wait_for_answers()


def measure(serving: Serving, plan: Plan) -> Costs:
    """Return all costs of one server, started fresh for each kind of load."""
    costs: Costs = {}
    for measurement in (measure_streams, measure_channels, measure_polls):
        with serving() as server:
            costs |= measurement(server, plan)
    return costs


def run(plan: Plan) -> list[dict[str, Costs]]:
    """Measure both servers in every round, each first in turn."""
    reference, load = compile_c("reference"), compile_c("load")
    servers: list[tuple[str, Serving]] = [
        ("edge", lambda: serving_edge(load, plain=plan.plain)),
        ("reference", lambda: serving_reference(reference, load)),
    ]
    rounds = []
    for number in range(1, plan.rounds + 1):
        costs: dict[str, Costs] = {}
        for name, serving in servers:
            print(f"round {number} of {plan.rounds}: {name} …", file=sys.stderr, flush=True)
            costs[name] = measure(serving, plan)
        rounds.append(costs)
        servers.reverse()
    return rounds


def middle(rounds: list[dict[str, Costs]]) -> dict[str, Costs]:
    """Return the median cost of both servers, and of their ratios within a round the median and the extremes."""
    ratios = [{key: one["edge"][key] / (one["reference"][key] or 1) for key in ROWS} for one in rounds]
    columns = (
        ("edge", median, [one["edge"] for one in rounds]),
        ("reference", median, [one["reference"] for one in rounds]),
        ("ratio", median, ratios),
        ("lowest", min, ratios),
        ("highest", max, ratios),
    )
    return {name: {key: pick(one[key] for one in column) for key in ROWS} for name, pick, column in columns}


def parse_plan(words: list[str]) -> tuple[Plan, bool]:
    """Read the command line: the plan, and whether a missed bar is a failure."""
    parser = argparse.ArgumentParser(prog="python -m bench.held", description=__doc__)
    default = Plan()
    for name in ("subscribers", "messages", "payload_bytes", "pollers", "cycles", "rounds"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(default, name), metavar="N")
    parser.add_argument("--plain", action="store_true", help="plain PUBLISH instead of the publish script")
    parser.add_argument("--quick", action="store_true", help="500 subscribers, one round: does it run at all?")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    options = vars(parser.parse_args(words))
    quick, strict = options.pop("quick"), options.pop("strict")
    plan = Plan(**options)
    return (replace(plan, subscribers=500, pollers=50, rounds=1) if quick else plan), strict


def main() -> int:
    """Measure, print, keep the numbers, and say whether every bar holds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exit ends the servers, too
    plan, strict = parse_plan(sys.argv[1:])
    rounds = run(plan)
    medians = middle(rounds)
    verdicts = [judge(bar, medians) for bar in BARS]
    machine = {"python": platform.python_version(), "kernel": platform.release(), "cores": os.cpu_count()}
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"plan": asdict(plan), "machine": machine, "medians": medians, "rounds": rounds}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    show(f"{plan.subscribers} SSE subscribers, {plan.pollers} pollers, median of {plan.rounds}", medians, verdicts)
    return 1 if strict and not all(verdict.ok for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
