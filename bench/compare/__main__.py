"""What a change costs: the edge of this checkout beside that of another commit (`python -m bench.compare --base REV`).

In each round both edges are started fresh, one after the other, and get the same loads: those of `bench.held`,
`bench.poll` and `bench.broadcast`, without other servers. The next round begins with the other one. A ratio is taken
within a round; a bar is missed, and the exit code is 1, if the median of the ratios is above `--max-cpu` or
`--max-memory`. Load generators, the publisher and the scripts in Redis are those of this checkout for both.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple, NoReturn

from bench import poll
from bench.broadcast import measure as broadcast
from bench.held import measure as held
from bench.report.costs import ROWS, Costs, Round, medians, ratios, share
from bench.report.outcome import Check, at_most, conclude, end_on_signals, progress
from bench.report.plan import ResultPlan, option, read_plan
from bench.report.results_file import say
from bench.servers.peers import Server, Serving, serving_edge, serving_websocket
from bench.system.processes import CHECKOUT

BASE, OURS = "base", "edge"
BROADCASTS, QUIET_SECONDS = 5, 0.5  # in each round; `bench.broadcast` has but one, and more in it
PACKAGES = ("edge", "common")  # what an edge is made of


@dataclass(frozen=True)
class ComparePlan(ResultPlan):
    """What is compared, and how much worse it may be."""

    rounds: int = option(5, "pairs of measurements")
    strict: bool = option(True, "exit with 1 if a bar is missed")
    base: str = option("HEAD", "the commit to compare with, or the folder of another checkout")
    benches: str = option("held,poll,broadcast", "whose loads")
    max_cpu: float = option(3.0, "percent more CPU")
    max_memory: float = option(1.0, "percent more memory of a connection")
    scale: float = option(1.0, "of the benchmarks' numbers of connections: 0.1 for a quick look")


class Part(NamedTuple):
    """One load: its name, how an edge of a checkout is served for it, and what is measured."""

    name: str
    serving: Callable[..., AbstractContextManager[Server]]
    measurements: Sequence[held.Measurement]


def held_parts(scale: float) -> list[Part]:
    """Return the loads of `bench.held`: streams, streams on channels of their own, polls; and WebSockets."""
    plan = scaled(held.Plan(), scale)
    streams, channels = partial(held.measure_streams, plan=plan), partial(held.measure_channels, plan=plan)
    polls = partial(held.measure_polls, plan=plan)
    return [
        Part("held", serving_edge, [streams, channels, polls]),
        Part("held, WebSocket", serving_websocket, [streams, channels]),
    ]


def poll_parts(scale: float) -> list[Part]:
    """Return the load of `bench.poll`: it has more pollers than `bench.held`."""
    return [Part("poll", serving_edge, [partial(held.measure_polls, plan=scaled(poll.PollPlan(), scale))])]


def broadcast_parts(scale: float) -> list[Part]:
    """Return the loads of `bench.broadcast`: subscribers of one channel, and of two."""
    plan = broadcast.Plan(rounds=BROADCASTS, quiet_seconds=QUIET_SECONDS)
    plan = replace(plan, subscribers=round(plan.subscribers * scale))
    shapes = (("broadcast", 1), ("broadcast, 2 channels each", 2))
    return [Part(name, serving_edge, [partial(measure_broadcast, plan=plan, channels=n)]) for name, n in shapes]


PARTS = {"held": held_parts, "poll": poll_parts, "broadcast": broadcast_parts}


def parts_of(plan: ComparePlan) -> list[Part]:
    """Return the loads of all benchmarks that are named."""
    names = plan.benches.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        refuse(f"--benches takes some of {', '.join(PARTS)}, separated by commas, not {', '.join(unknown)}")
    return [part for name in names for part in PARTS[name](plan.scale)]


def scaled(plan: held.Plan, scale: float) -> held.Plan:
    """Return a plan with more or fewer connections."""
    return replace(plan, subscribers=round(plan.subscribers * scale), pollers=round(plan.pollers * scale))


def measure_broadcast(server: Server, plan: broadcast.Plan, channels: int) -> Costs:
    """Broadcast to a crowd while bystanders get messages on another channel."""
    outcome = broadcast.measure(server, plan, channels)
    return {"broadcast": outcome.cpu_us, "bystander": outcome.meanwhile.p99}


def run(count: int, parts: Sequence[Part], base: Path) -> list[Round]:
    """Measure both edges with all loads; return the costs of each round, by the name of the load and of the cost."""
    rounds: list[Round] = [{BASE: {}, OURS: {}} for _ in range(count)]
    for part in parts:
        progress(f"== {part.name}")
        servers: dict[str, Serving] = {
            side: partial(part.serving, checkout=checkout) for side, checkout in ((BASE, base), (OURS, CHECKOUT))
        }
        for whole, measured in zip(rounds, held.run(count, servers, part.measurements), strict=True):
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


@contextmanager
def checkout_of(base: str, repository: Path = CHECKOUT) -> Iterator[Path]:
    """Yield the folder `base`, or a temporary one with the edge of the commit `base` while the block runs."""
    if Path(base, "edge").is_dir():
        yield Path(base).absolute()
        return
    with TemporaryDirectory(prefix="bench-base-") as folder:
        archive = git(repository, "archive", "--format=tar", base, *PACKAGES)
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def git(repository: Path, *words: str) -> bytes:
    """Return what a git command writes."""
    done = subprocess.run(["git", *words], cwd=repository, check=False, capture_output=True)
    if done.returncode:
        refuse(f"`git {' '.join(words)}` says: {done.stderr.decode().strip()}")
    return done.stdout


def refuse(sentence: str) -> NoReturn:
    """Say what is wrong with an option, and end with 2, as `argparse` does."""
    progress(sentence)
    sys.exit(2)


def rehearse(base: Path) -> None:
    """Start both edges once: that compiles their modules, which would be counted as memory of the first round."""
    for checkout in (base, CHECKOUT):
        with serving_edge(checkout=checkout):
            progress(f"an edge runs from {checkout}{', compiled' if is_compiled(checkout) else ''}")
    if is_compiled(base) != is_compiled(CHECKOUT):
        say("ONE OF THE TWO IS COMPILED: the ratios are about that, too", "red")


def is_compiled(checkout: Path) -> bool:
    """Say whether a checkout has extension modules beside its sources."""
    return any(path for package in PACKAGES for path in (checkout / package).rglob("*.so"))


def main() -> int:
    """Compare, print, keep the numbers, and return the exit code."""
    end_on_signals()
    plan = read_plan("compare", __doc__, ComparePlan(), sys.argv[1:])
    parts = parts_of(plan)
    with checkout_of(plan.base) as base:
        rehearse(base)
        rounds = run(plan.rounds, parts, base)
    beside = {label: {f"{OURS} ÷ {BASE}": share(ratios(rounds, label, BASE))} for label in rounds[0][OURS]}
    title = f"the edge of this checkout beside that of {plan.base} (base), median of {plan.rounds} paired rounds"
    return conclude("compare", title, plan, tabulate(rounds), judge(rounds, plan), beside, per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
