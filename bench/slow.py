"""Readers that are stuck, and who has to pay for them: `python -m bench.slow`.

9,000 SSE subscribers read, and bursts of messages of 1 KB go to them at a steady rate; then 1,000 join that never
read, with the smallest receive buffer there is. How late are messages for the others, without and with the stuck ones;
after how long are the stuck ones cut; how much does the server grow?

The kernel takes some 60 KB for a stuck reader before the server notices anything. That it parks bytes of its own from
then on shows in its memory, so the time to the cut is counted from there: from the first of them that falls behind to
the last that is cut, which is up to two bursts and a look longer than any one of them waits. The others' latency
counts while any stuck reader is there. `--peers` adds Nchan and aiohttp, which are given the same time to cut theirs.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from bench.latency import Lateness, Receivers, Ticker, receiving
from bench.outcome import Check, at_most, conclude, end_on_signals, progress
from bench.peers import Server, Serving, peers, serving_edge
from common.settings import Settings

CHANNEL = "room"
CAP_BYTES = int(Settings.model_fields["slow_total_bytes"].default)
LOOK_EVERY = 0.25
MIB = 2**20
RATIO = "others' p99, with ÷ without"
CUT = "last cut after the first parked bytes, s"
GROWTH = "memory growth at most, MiB"
BARS = {RATIO: 1.2, CUT: 10.0, GROWTH: CAP_BYTES / MIB}
WHEEL_SECONDS = 0.25  # the edge looks at its clock so often


class Look(NamedTuple):
    """What can be seen of a server from outside, and when."""

    at: float
    files: int
    pss: int


class Outcome(NamedTuple):
    """The others' lateness without and with the stuck readers, and what became of these."""

    without: Lateness
    with_stuck: Lateness
    cut: int
    seconds_from_start: float | None  # from the first message to the last cut; None: not all were cut
    seconds_from_parking: float | None
    growth: int
    kept: int  # of the growth, when all is over


def look(server: Server) -> Look:
    """Look at a server now."""
    files = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids)
    return Look(time.monotonic(), files, server.pss_bytes())


def measure(server: Server, options: argparse.Namespace) -> Outcome:
    """Publish to the readers alone, then to them and the stuck ones."""
    with ExitStack() as stack:
        readers = stack.enter_context(receiving(server))
        stuck = stack.enter_context(receiving(server))
        readers.open(options.subscribers - options.stuck, CHANNEL)
        server.settle()
        publish(server, readers, options, 1.0)  # a rehearsal
        without, _ = publish(server, readers, options, options.seconds)
        before = look(server)
        stuck.open_stuck(options.stuck, CHANNEL)
        wait_for_files(server, before.files + options.stuck)
        joined = look(server)
        with_stuck, looks = publish(server, readers, options, options.patience, until_files=before.files)
    return Outcome(without, with_stuck, *judge_looks([joined, *looks], before.files, options))


def wait_for_files(server: Server, files: int) -> None:
    """Wait until a server has accepted everybody and is at rest."""
    while look(server).files < files:
        time.sleep(0.05)
    server.settle()


def publish(
    server: Server, readers: Receivers, options: argparse.Namespace, seconds: float, until_files: int = 0
) -> tuple[Lateness, list[Look]]:
    """Publish for some time, or until a server has so few open files; return what the readers noted."""
    readers.reset()
    ticker = Ticker(server, CHANNEL, 1 / options.bursts_per_second, size=options.payload_bytes, burst=options.burst)
    ends_at, looks = time.monotonic() + seconds, [look(server)]
    ticker.start()
    while time.monotonic() < ends_at and looks[-1].files > until_files:
        time.sleep(LOOK_EVERY)
        looks.append(look(server))
    readers.wait(ticker.stop() * (options.subscribers - options.stuck))
    server.settle()
    return readers.report(), [*looks, look(server)]


def judge_looks(
    looks: list[Look], files: int, options: argparse.Namespace
) -> tuple[int, float | None, float | None, int, int]:
    """Return how many were cut, after how many seconds (from the start, from the first parked bytes), the growth."""
    start, end = looks[0], looks[-1]
    growth = max(one.pss for one in looks) - start.pss
    parked = next((one.at for one in looks if one.pss - start.pss > options.stuck * options.payload_bytes), start.at)
    gone = next((one.at for one in looks if one.files <= files), None)
    times = (None, None) if gone is None else (gone - start.at, gone - parked)
    return start.files - end.files, *times, growth, end.pss - start.pss


def tabulate(outcomes: dict[str, list[Outcome]]) -> dict[str, dict[str, float]]:
    """Return the rows of the table: medians over the rounds; what did not happen in each round is left out."""
    rows: dict[str, dict[str, float]] = {}
    for server, rounds in outcomes.items():
        for label, value in middle(rounds).items():
            rows.setdefault(label, {}).update({} if value is None else {server: value})
    return rows


def middle(rounds: list[Outcome]) -> dict[str, float | None]:
    """Return the median of all that is shown of each round, or None if one round had none."""
    columns: dict[str, list[float | None]] = {
        "others' p50 without stuck readers, ms": [one.without.median for one in rounds],
        "others' p50 with them, ms": [one.with_stuck.median for one in rounds],
        "others' p99 without stuck readers, ms": [one.without.p99 for one in rounds],
        "others' p99 with them, ms": [one.with_stuck.p99 for one in rounds],
        RATIO: [one.with_stuck.p99 / one.without.p99 for one in rounds],
        "stuck readers cut": [one.cut for one in rounds],
        "last cut after the first message, s": [one.seconds_from_start for one in rounds],
        CUT: [one.seconds_from_parking for one in rounds],
        GROWTH: [one.growth / MIB for one in rounds],
        "memory growth at the end, MiB": [one.kept / MIB for one in rounds],
    }
    happened = {label: [value for value in values if value is not None] for label, values in columns.items()}
    return {label: median(values) if len(values) == len(rounds) else None for label, values in happened.items()}


def checks(rounds: list[Outcome], options: argparse.Namespace) -> list[Check]:
    """Hold the bars against the edge's medians; the time to the cut gets what cannot be told apart from outside."""
    shown = middle(rounds)
    blur = {CUT: 2 / options.bursts_per_second + LOOK_EVERY + WHEEL_SECONDS}
    return [_check(label, shown[label], limit, blur.get(label, 0)) for label, limit in BARS.items()]


def _check(label: str, value: float | None, limit: float, blur: float) -> Check:
    what = f"{label} (bar {limit:g}, blur {blur:g})" if blur else label
    return Check(False, f"{what}: never") if value is None else at_most(what, value, limit + blur)


def parse_options(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=10_000, metavar="N", help="the stuck ones among them")
    parser.add_argument("--stuck", type=int, default=1_000, metavar="N")
    parser.add_argument("--payload-bytes", type=int, default=1024, metavar="N")
    parser.add_argument("--burst", type=int, default=4, metavar="N", help="messages published together")
    parser.add_argument("--bursts-per-second", type=float, default=2.0, metavar="N")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="N", help="of publishing without stuck readers")
    parser.add_argument("--patience", type=float, default=40.0, metavar="N", help="seconds the stuck may stay")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--policy", default="disconnect", help="the edge's COMET_SLOW_POLICY")
    parser.add_argument("--peers", action="store_true", help="Nchan and aiohttp as well")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args(words)


def main() -> int:
    """Measure, print, and keep the numbers."""
    end_on_signals()
    options = parse_options(sys.argv[1:])
    settings = {"COMET_SLOW_POLICY": options.policy}
    servers: dict[str, Serving] = {"edge": lambda: serving_edge(environment=settings)}
    outcomes: dict[str, list[Outcome]] = {}
    for name, serving in (servers | (peers() if options.peers else {})).items():
        for number in range(1, options.rounds + 1):
            progress(f"round {number} of {options.rounds}: {name} …")
            with serving() as server:
                outcomes.setdefault(name, []).append(measure(server, options))
    title = f"{options.stuck} of {options.subscribers} SSE subscribers stuck, median of {options.rounds}"
    detail = {name: [one._asdict() for one in rounds] for name, rounds in outcomes.items()}
    code = conclude(
        "slow", title, tabulate(outcomes), checks(outcomes["edge"], options), plan=vars(options), outcomes=detail
    )
    return code if options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
