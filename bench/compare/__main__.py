"""What a change costs: the edge of this checkout beside that of another commit (`python -m bench.compare --base REV`).

In each round both edges are started fresh, one after the other, and get the same loads: those of `bench.held`,
`bench.poll`, `bench.broadcast` and `bench.slow`, without other servers. The next round begins with the other one. A
ratio is taken within a round; a bar is missed, and the exit code is 1, if the median of the ratios is above `--max-cpu`
or `--max-memory`. Load generators, the publisher and the scripts in Redis are those of this checkout for both.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.compare.checkouts import copies, is_compiled, refuse
from bench.compare.loads import PARTS, Part
from bench.held.rounds import run as run_rounds
from bench.report.checks import Check, at_most
from bench.report.console import end_on_signals, progress, say
from bench.report.costs import ROWS
from bench.report.outcome import conclude
from bench.report.plan import ResultPlan, option, read_plan
from bench.report.statistics import Round, median_and_range, medians, ratios
from bench.servers.edges import serving_edge
from bench.servers.server import Serving

BASE, OURS = "base", "edge"


@dataclass(frozen=True)
class ComparePlan(ResultPlan):
    """What is compared, and how much worse it may be."""

    rounds: int = option(5, "pairs of measurements")
    strict: bool = option(True, "exit with 1 if a bar is missed")
    base: str = option("HEAD", "the commit to compare with, or the folder of another checkout")
    benches: str = option("held,poll,broadcast,slow", "whose loads")
    max_cpu: float = option(3.0, "percent more CPU")
    max_memory: float = option(1.0, "percent more memory of a connection")
    scale: float = option(1.0, "of the benchmarks' numbers of connections: 0.1 for a quick look")


def parts_of(plan: ComparePlan) -> list[Part]:
    """Return the loads of all benchmarks that are named."""
    names = plan.benches.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        refuse(f"--benches takes some of {', '.join(PARTS)}, separated by commas, not {', '.join(unknown)}")
    return [part for name in names for part in PARTS[name](plan.scale)]


def rehearse(checkouts: Mapping[str, Path]) -> None:
    """Start both edges once: their bytecode is made then, which would be counted as memory of the first round."""
    for side, checkout in checkouts.items():
        with serving_edge(checkout=checkout):
            progress(f"{side} runs, the {'compiled' if is_compiled(checkout) else 'pure'} build")
    if len({is_compiled(checkout) for checkout in checkouts.values()}) > 1:
        say("ONE OF THE TWO IS COMPILED: the ratios are about that, too", "red")


def run(count: int, parts: Sequence[Part], checkouts: Mapping[str, Path]) -> list[Round]:
    """Measure both edges with all loads; return the costs of each round, by the name of the load and of the cost."""
    rounds: list[Round] = [{side: {} for side in checkouts} for _ in range(count)]
    for part in parts:
        progress(f"== {part.name}")
        servers: dict[str, Serving] = {
            side: partial(part.serving, checkout=checkout) for side, checkout in checkouts.items()
        }
        for whole, measured in zip(rounds, run_rounds(count, servers, part.measurements), strict=True):
            for side, costs in measured.items():
                whole[side] |= {f"{part.name}: {ROWS[key]}": cost for key, cost in costs.items()}
    return rounds


def judge(rounds: Sequence[Round], plan: ComparePlan) -> list[Check]:
    """Hold the ratios of CPU and of memory against what they may be."""
    limits = {"CPU/": plan.max_cpu, "memory/": plan.max_memory}
    return [
        at_most(f"{label}, ÷ base's", median(ratios(rounds, label, BASE)), 1 + limit / 100)
        for label in rounds[0][OURS]
        for kind, limit in limits.items()
        if kind in label
    ]


def tabulate(rounds: Sequence[Round]) -> Mapping[str, Mapping[str, float]]:
    """Return the rows of the table: the medians of both."""
    middle = medians(rounds)
    return {label: {side: middle[side][label] for side in (BASE, OURS)} for label in middle[OURS]}


def shares(rounds: Sequence[Round]) -> Mapping[str, Mapping[str, str]]:
    """Return the ratios as they stand beside the table; that of the lowest is the least disturbed by other programs."""
    return {
        label: {
            f"{OURS} ÷ {BASE}": median_and_range(ratios(rounds, label, BASE)),
            "lowest ÷ lowest": f"{lowest(rounds, OURS, label) / (lowest(rounds, BASE, label) or 1):.2f}",
        }
        for label in rounds[0][OURS]
    }


def lowest(rounds: Sequence[Round], side: str, label: str) -> float:
    """Return the lowest of all rounds."""
    return min(one[side][label] for one in rounds)


def main() -> int:
    """Compare, print, keep the numbers, and return the exit code."""
    end_on_signals()
    plan = read_plan("compare", __doc__, ComparePlan(), sys.argv[1:])
    parts = parts_of(plan)
    with copies(plan.base) as (base, ours):
        checkouts = {BASE: base, OURS: ours}
        rehearse(checkouts)
        rounds = run(plan.rounds, parts, checkouts)
    title = f"the edge of this checkout beside that of {plan.base} (base), median of {plan.rounds} paired rounds"
    return conclude("compare", title, plan, tabulate(rounds), judge(rounds, plan), shares(rounds), per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
