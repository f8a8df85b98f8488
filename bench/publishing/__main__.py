"""What publishing over HTTP costs the publisher's process: python -m bench.publishing

CPU for each message: alone over many connections that each send the next one when the last was answered, with history,
ephemeral, with a receipt, by `GET /pub`; and in arrays of 100, over four connections. Beside it, in the same run, a
bare aiohttp handler that reads the same JSON; and Nchan with Redis, where it is installed. No edge runs, so nobody
answers the receipts: they cost what they cost the publisher without a wait.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from bench.publishing.loads import Load, drive
from bench.report.checks import Check, at_most
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import PlanWithPeers, option, read_plan
from bench.servers.nchan import nchan_module, serving_nchan_redis
from bench.servers.valkey import running_valkey
from bench.system.accounting import cpu_ns, settle
from bench.system.paths import CHECKOUT
from bench.system.processes import accepts, end, free_port, free_ports, running, start, wait_until

ALONE, ARRAY = "alone, with history", "in an array of 100"
EPHEMERAL, RECEIPT, GET = "alone, ephemeral", "alone, with a receipt", "by GET /pub"
FEW_CONNECTIONS = 4  # that send arrays
WARM_UP = 500  # requests
BARS = {ALONE: 2.5, ARRAY: 0.7}  # times the bare handler's cost of a request with one message
Costs = dict[str, dict[str, float]]  # of each server: microseconds of each load


@dataclass(frozen=True)
class PublishingPlan(PlanWithPeers):
    """How much of everything."""

    requests: int = option(20_000, "with one message each")
    arrays: int = option(300, "requests with an array")
    connections: int = 32


def loads(plan: PublishingPlan) -> dict[str, Load]:
    """Return what is measured of the publisher."""
    return {
        ALONE: Load(plan.requests),
        ARRAY: Load(plan.arrays, 100),
        EPHEMERAL: Load(plan.requests, options=("ephemeral",)),
        RECEIPT: Load(plan.requests, options=("receipt",)),
        GET: Load(plan.requests, by_get=True),
    }


@contextmanager
def serving_publisher() -> Iterator[tuple[int, int]]:
    """Run a publisher with a Redis of its own; yield its pid and its port."""
    port, admin_port = free_ports(2)
    with running_valkey() as url:
        own = {"REDIS_URL": url, "PUBLISHER_HOST": "127.0.0.1", "DRAIN_SECONDS": "0"}
        own |= {"PUBLISHER_PORT": str(port), "PUBLISHER_ADMIN_PORT": str(admin_port)}
        rest = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
        variables = rest | {f"COMET_{name}": value for name, value in own.items()}
        process = start("publisher", [sys.executable, "-m", "publisher"], variables, CHECKOUT)
        try:
            wait_until(lambda: accepts(port), "publisher")
            yield process.pid, port
        finally:
            end([process])


@contextmanager
def serving_bare() -> Iterator[tuple[int, int]]:
    """Run the bare handler; yield its pid and its port."""
    port = free_port()
    with running("bare", [sys.executable, "-m", "bench.publishing.bare", str(port)]) as pid:
        wait_until(lambda: accepts(port), "bare")
        yield pid, port


def cost(pids: list[int], port: int, connections: int, load: Load) -> tuple[float, float]:
    """Return the microseconds of CPU of each message, and the messages of each second."""
    drive(port, connections, load._replace(requests=max(WARM_UP // load.messages, connections)))
    for pid in pids:
        settle(pid)
    before, began = sum(map(cpu_ns, pids)), perf_counter()
    drive(port, connections, load)
    took = perf_counter() - began
    for pid in pids:
        settle(pid)
    messages = load.requests * load.messages
    return (sum(map(cpu_ns, pids)) - before) / 1000 / messages, messages / took


def measure(plan: PublishingPlan) -> tuple[Costs, dict[str, float]]:
    """Return one round: the cost of each load at each server, and the publisher's messages per second."""
    costs: Costs = {"publisher": {}}
    rates: dict[str, float] = {}
    with serving_publisher() as (pid, port), serving_bare() as (bare_pid, bare_port):
        costs["bare handler"] = {ALONE: cost([bare_pid], bare_port, plan.connections, Load(plan.requests))[0]}
        for name, load in loads(plan).items():
            count = FEW_CONNECTIONS if load.messages > 1 else plan.connections
            costs["publisher"][name], rates[name] = cost([pid], port, count, load)
    if plan.peers and nchan_module():
        with serving_nchan_redis() as server:
            load = Load(plan.requests, by_get=False)
            costs["nchan-redis"] = {ALONE: cost(server.pids, server.port, plan.connections, load)[0]}
    return costs, rates


def judge(rounds: list[Costs]) -> list[Check]:
    """Hold the median of the ratios against the bars."""
    return [
        at_most(
            f"publisher's CPU for a message {name} ÷ a bare handler's for a request",
            median(one["publisher"][name] / one["bare handler"][ALONE] for one in rounds),
            limit,
        )
        for name, limit in BARS.items()
    ]


def main() -> int:
    """Measure some rounds and print a table."""
    end_on_signals()
    plan = read_plan("publishing", __doc__, PublishingPlan(), sys.argv[1:])
    measured = []
    for number in range(plan.rounds):
        progress(f"round {number + 1} of {plan.rounds}")
        measured.append(measure(plan))
    rounds = [costs for costs, _ in measured]
    rows: dict[str, dict[str, float]] = {f"{name}, µs": {} for name in loads(plan)}
    for server, costs in rounds[0].items():
        for name in costs:
            rows[f"{name}, µs"][server] = median(one[server][name] for one in rounds)
    for name in loads(plan):
        rows[f"{name}, µs"]["÷ bare handler"] = median(
            one["publisher"][name] / one["bare handler"][ALONE] for one in rounds
        )
        rows[f"{name}, µs"]["messages/s"] = median(rates[name] for _, rates in measured)
    title = f"CPU for each message, {plan.connections} connections, median of {plan.rounds}"
    return conclude("publishing", title, plan, rows, judge(rounds))


if __name__ == "__main__":
    sys.exit(main())
