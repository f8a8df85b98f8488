"""A reconnect storm: all clients are cut off, miss some messages, and come back at once (`python -m bench.storm`).

The subscribers are spread over several edges and many channels. All drop; each channel gets some messages while no
client is connected; then all come back in the same moment, to another edge than before, with `since=` their position.
Each checks that it gets exactly what it missed. Meanwhile a bystander channel on the same edges gets a message every
20 ms, whose latency is compared with that of the time before.
"""

import sys
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import NamedTuple

from bench.clients.subscribers import State, come_and_go, command_all, running_subscribers
from bench.report.checks import Check, equal
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import read_plan
from bench.servers.edges import running_cluster
from bench.servers.leftovers import Baseline, Leftovers
from bench.servers.valkey import running_valkey
from bench.storm.storm import Numbers, Storm, StormPlan


class Result(NamedTuple):
    """What was measured, what the clients and the bystanders saw, and what is left behind."""

    rounds: list[Numbers]
    state: State
    bystanders: State
    told: int  # messages that the bystanders should have got
    left: Leftovers


def run(plan: StormPlan) -> Result:
    """Run all rounds."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        cluster = stack.enter_context(running_cluster(plan.edges, url))
        clients = stack.enter_context(running_subscribers(plan.edges + 1))
        come_and_go(clients, cluster.ports, [1] * plan.edges)
        baseline = Baseline(cluster, plan.forget_seconds)
        storm = Storm(plan, cluster, clients, url)
        progress(f"{plan.connections} connections to {plan.edges} edges …")
        storm.open()
        rounds = []
        for number in range(1, plan.rounds + 1):
            progress(f"storm {number} of {plan.rounds} …")
            rounds.append(storm.round())
        bystanders = clients[-1].do("state")
        command_all(clients, "forget")
        left = baseline.compare(plan.connections, partial(come_and_go, clients, cluster.ports, storm.shares))
        return Result(rounds, storm.state, bystanders, storm.told, left)


def judge(plan: StormPlan, result: Result) -> list[Check]:
    """Hold what was seen against what must hold."""
    state, bystanders = result.state, result.bystanders
    storms = plan.connections * plan.rounds
    return [
        equal("reconnects", sum(one["reconnects"] for one in result.rounds), storms),
        equal("messages that were missed and came", state.messages, storms * plan.missed),
        equal("connections that are back", state.held, plan.connections),
        equal("lost", state.lost + bystanders.lost, 0),
        equal("duplicates", state.duplicates + bystanders.duplicates, 0),
        equal("resets", state.resets + bystanders.resets, 0),
        equal("bystanders cut off", bystanders.broken, 0),
        equal("bystanders' messages", bystanders.messages, result.told),
        *result.left.checks(),
    ]


def main() -> int:
    """Run the storms, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("storm", __doc__, StormPlan(), sys.argv[1:])
    result = run(plan)
    rows: dict[str, dict[str, float]] = {
        key: {"median": median(one[key] for one in result.rounds), "lowest": min(one[key] for one in result.rounds)}
        | {"highest": max(one[key] for one in result.rounds)}
        for key in result.rounds[0]
    }
    title = f"{plan.connections:,} reconnect at once to {plan.edges} edges; {plan.rounds} storms"
    rows |= result.left.rows("median")
    return conclude("storm", title, plan, rows, judge(plan, result), per_round=result.rounds)


if __name__ == "__main__":
    sys.exit(main())
