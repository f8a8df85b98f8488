"""A million held connections on one machine, and one broadcast to all of them (`python -m bench.million`).

As many edges as the descriptor limit asks for, a client process for each, all on one channel. It shows the memory of
everything and the rate of opening; then one plain PUBLISH goes out, and all connections must get it. It stops opening,
and fails, when the machine's memory in use exceeds `--stop-gib`. Kernel settings that would stand in the way are
raised, if they may be, while it runs, and printed. Heartbeats and the audit of quiet channels are off: their cost is
measured by `bench.idle`, and here they would only stretch the time.
"""

import sys
import time
from contextlib import ExitStack
from functools import partial

from bench.clients.subscribers import come_and_go, command_all, running_subscribers
from bench.million.kernel import prepared
from bench.million.measure import MillionPlan, Rows, Running, measure
from bench.report.checks import Check
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import read_plan
from bench.servers.edges import NEVER, running_cluster
from bench.servers.leftovers import Baseline
from bench.servers.valkey import running_valkey

COMMAND_TIMEOUT = 1800


def run(plan: MillionPlan) -> tuple[Rows, list[Check]]:
    """Hold everything, broadcast, close everything, and return the numbers and the checks."""
    counts = plan.shares
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        progress(f"starting {len(counts)} edges and as many client processes …")
        started = time.monotonic()
        cluster = stack.enter_context(running_cluster(len(counts), url, AUDIT=NEVER, HEARTBEAT=NEVER, LINGER="1"))
        start_seconds = time.monotonic() - started
        clients = stack.enter_context(running_subscribers(len(counts), COMMAND_TIMEOUT))
        come_and_go(clients, cluster.ports, [1] * len(counts))
        baseline = Baseline(cluster, plan.forget_seconds)
        rows, checks = measure(Running(plan, cluster, clients, url))
        command_all(clients, "forget")
        left = baseline.compare(plan.connections, partial(come_and_go, clients, cluster.ports, counts))
        rows = {"starting the edges, s": {"value": start_seconds}, **rows, **left.rows("value")}
        return rows, [*checks, *left.checks()]


def main() -> int:
    """Hold them, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("million", __doc__, MillionPlan(), sys.argv[1:])
    with prepared(plan.connections) as settings:
        rows, checks = run(plan)
    title = f"{plan.connections:,} connections to {len(plan.shares)} edges, heartbeats and audit off"
    return conclude("million", title, plan, rows, checks, kernel=settings)


if __name__ == "__main__":
    sys.exit(main())
