"""Rounds in which several servers get the same loads, each server started fresh for each load."""

from collections.abc import Callable, Iterable, Sequence

from bench.held.measure import Plan
from bench.report.console import progress
from bench.report.costs import BARS, judge, rows, shares
from bench.report.outcome import conclude
from bench.report.statistics import Costs, Round
from bench.servers.churn import Churn, warm_up
from bench.servers.leftovers import Leftovers, worst
from bench.servers.server import Server, Serving

Measurement = Callable[[Server], Costs]


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
    """Return what an edge is left with after each kind of load."""
    left = []
    for measurement in measurements:
        with serving() as server:
            churn = Churn(server, plan.forget_seconds)
            measurement(server)
            left.append(churn.leftovers(plan.subscribers))
    return worst(left)


def finish(name: str, title: str, plan: Plan, rounds: list[Round], left: Leftovers) -> int:
    """Print, keep the numbers, and return the exit code."""
    table, checks = {**rows(rounds), **left.rows()}, [*judge(BARS, rounds), *left.checks()]
    return conclude(name, title, plan, table, checks, shares(rounds), per_round=rounds)
