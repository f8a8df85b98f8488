"""Readers that are stuck, and what they cost the others: `python -m bench.slow`.

9,000 SSE subscribers read, and bursts of messages of 1 KB go to them at a steady rate; then 1,000 join that never
read, with the smallest receive buffer there is. How late are messages for the others, without and with the stuck ones;
after how long are the stuck ones cut; how much does the server grow?

The kernel takes some 60 KB for a stuck reader before a server notices anything. From then on the edge parks bytes of
its own; its metrics show them, and the readers it has cut, by the limit they crossed. The time to the cut goes from
the first snapshot with parked bytes to the first in which all stuck readers are cut: it is that of the last reader, and
it includes a burst if they did not all fall behind with the same one. The others' latency counts while any stuck reader
is connected. Nchan and aiohttp are given the same time to cut theirs; their own counts cannot be seen.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

from bench.report.checks import Check, at_most, equal
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import read_plan
from bench.servers.churn import Churn
from bench.servers.edges import serving_edge
from bench.servers.leftovers import Leftovers
from bench.servers.peers import peers
from bench.servers.server import Serving
from bench.slow.inspect import LIMITS
from bench.slow.measure import Outcome, Plan, measure
from bench.system.memory import MIB
from common.settings import Settings

MAX_BYTES = int(Settings.model_fields["slow_total_bytes"].default)
RATIO = "others' p99, with ÷ without"
ALL = "stuck readers cut"
CUT = "last cut after the first parked bytes, s"
PARKED = "parked bytes at most, MiB"
GROWTH = "memory growth at most, MiB"

COLUMNS: dict[str, Callable[[Outcome], float | None]] = {
    "others' p50 without stuck readers, ms": lambda one: one.without.median,
    "others' p50 with them, ms": lambda one: one.with_stuck.median,
    "others' p99 without stuck readers, ms": lambda one: one.without.p99,
    "others' p99 with them, ms": lambda one: one.with_stuck.p99,
    RATIO: lambda one: one.with_stuck.p99 / one.without.p99,
    ALL: lambda one: one.stuck.cut,
    "last cut after the first message, s": lambda one: one.stuck.seconds_from_start,
    GROWTH: lambda one: one.stuck.growth / MIB,
    "memory growth at the end, MiB": lambda one: one.stuck.kept / MIB,
}
EDGE_COLUMNS: dict[str, Callable[[Outcome], float | None]] = {
    CUT: lambda one: one.stuck.seconds_from_parking,
    PARKED: lambda one: one.stuck.parked / MIB,
    **{f"cut by {name}": lambda one, at=at: one.stuck.by_limit[at] for at, name in enumerate(LIMITS)},  # type: ignore[misc]
}


def middle(name: str, rounds: Sequence[Outcome]) -> dict[str, float | None]:
    """Return the median of all that is shown of a server, or None for what did not happen in each round."""
    columns = COLUMNS | (EDGE_COLUMNS if name == "edge" else {})
    seen = {label: [pick(one) for one in rounds] for label, pick in columns.items()}
    happened = {label: [value for value in values if value is not None] for label, values in seen.items()}
    return {label: median(values) if len(values) == len(rounds) else None for label, values in happened.items()}


def tabulate(outcomes: dict[str, list[Outcome]]) -> dict[str, dict[str, float]]:
    """Return the rows of the table; what did not happen in each round is left out."""
    rows: dict[str, dict[str, float]] = {}
    for server, rounds in outcomes.items():
        for label, value in middle(server, rounds).items():
            rows.setdefault(label, {}).update({} if value is None else {server: value})
    return rows


def checks(rounds: Sequence[Outcome], plan: Plan) -> list[Check]:
    """Hold the bars against what the edge did."""
    shown = middle("edge", rounds)
    return [
        at_most(RATIO, shown[RATIO], 1.2),
        equal(f"{ALL}, in every round", min(one.stuck.cut for one in rounds), plan.stuck),
        at_most(CUT, shown[CUT], 10.0),
        at_most(PARKED, shown[PARKED], MAX_BYTES / MIB),
        at_most(GROWTH, shown[GROWTH], MAX_BYTES / MIB),
    ]


def run(plan: Plan, servers: dict[str, Serving]) -> tuple[dict[str, list[Outcome]], Leftovers]:
    """Measure all servers in all rounds; return that, and what is left behind on the edge."""
    outcomes: dict[str, list[Outcome]] = {}
    for name, serving in servers.items():
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {name} …")
            with serving() as server:
                outcomes.setdefault(name, []).append(measure(server, plan))
    with servers["edge"]() as server:
        progress("edge, to see what is left behind …")
        churn = Churn(server, plan.forget_seconds)
        parked = measure(server, plan).stuck.parked
        return outcomes, churn.leftovers(plan.subscribers)._replace(parked=int(parked))


def main() -> int:
    """Measure, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("slow", __doc__, Plan(), sys.argv[1:])
    servers: dict[str, Serving] = {"edge": partial(serving_edge, SLOW_POLICY=plan.policy)}
    outcomes, left = run(plan, servers | (peers() if plan.peers else {}))
    title = f"{plan.stuck} of {plan.subscribers} SSE subscribers stuck, median of {plan.rounds}"
    rows, bars = tabulate(outcomes) | left.rows(), [*checks(outcomes["edge"], plan), *left.checks()]
    seen = {name: [one._asdict() for one in rounds] for name, rounds in outcomes.items()}
    return conclude("slow", title, plan, rows, bars, outcomes=seen)


if __name__ == "__main__":
    sys.exit(main())
