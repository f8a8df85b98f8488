"""A message to everybody, and who else has to wait: `python -m bench.broadcast`.

15,000 SSE subscribers are on one channel, a few bystanders on another that gets a message every 20 ms. 100 bytes go
to all: how late are the first, the median, the 99th percentile and the last receiver, and how late do messages reach
the bystanders meanwhile? Both kinds of receivers have processes of their own. With few cores these take turns with the
server, Redis and the publisher, so the crowd, which in real life has machines of its own, runs only when nobody else
wants to (SCHED_IDLE), and its times are upper bounds. A message's time begins when it was due: a publisher that is
held up does not hide it. `--peers` adds Nchan and aiohttp; the C reference knows only one channel.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

from bench.latency import Lateness, Receivers, Ticker, receiving, stamped
from bench.outcome import Check, at_most, conclude, end_on_signals, percentile, progress
from bench.peers import Server, Serving, peers, serving_edge

CROWD, BYSTANDERS = "room", "corner"
BAR_MS = 20.0
PAUSE = 0.5


class Outcome(NamedTuple):
    """What the receivers of each broadcast saw, and the bystanders: at rest, and during all broadcasts."""

    crowd: list[Lateness]
    quiet: Lateness
    meanwhile: Lateness
    publisher_ms: float  # p99 of the time until a bystanders' message was taken, during all broadcasts


def measure(server: Server, options: argparse.Namespace) -> Outcome:
    """Hold everybody, and broadcast again and again."""
    with ExitStack() as stack:
        crowd = stack.enter_context(receiving(server, humble=True))
        bystanders = stack.enter_context(receiving(server))
        crowd.open(options.subscribers, CROWD)
        bystanders.open(options.bystanders, BYSTANDERS)
        server.settle()
        broadcast(server, crowd, options)  # the first one is a rehearsal
        quiet = watch_at_rest(server, bystanders, options)
        bystanders.reset()
        seen = [broadcast_watched(server, crowd, bystanders, options) for _ in range(options.rounds)]
        taken = sorted(late for _, _, times in seen for late in times)
        return Outcome([one for one, _, _ in seen], quiet, seen[-1][1], percentile(taken, 0.99))


def broadcast(server: Server, crowd: Receivers, options: argparse.Namespace) -> Lateness:
    """Send a message to the crowd and wait for the last receiver."""
    crowd.reset()
    server.publisher.publish([stamped(options.payload_bytes, time.monotonic_ns())], CROWD)
    crowd.wait(options.subscribers)
    return crowd.report()


def watch_at_rest(server: Server, bystanders: Receivers, options: argparse.Namespace) -> Lateness:
    """Return how late the bystanders get theirs while nothing else happens."""
    bystanders.reset()
    ticker = start_ticker(server, options)
    time.sleep(options.quiet_seconds)
    bystanders.wait(ticker.stop() * options.bystanders)
    return bystanders.report()


def broadcast_watched(
    server: Server, crowd: Receivers, bystanders: Receivers, options: argparse.Namespace
) -> tuple[Lateness, Lateness, list[float]]:
    """Broadcast while the bystanders get theirs; they keep what they noted in earlier rounds."""
    time.sleep(PAUSE)
    so_far = bystanders.count()
    ticker = start_ticker(server, options)
    lateness = broadcast(server, crowd, options)
    bystanders.wait(so_far + ticker.stop() * options.bystanders)
    return lateness, bystanders.report(), ticker.acknowledged_ms


def start_ticker(server: Server, options: argparse.Namespace) -> Ticker:
    """Begin to publish to the bystanders, from the first message on."""
    ticker = Ticker(server, BYSTANDERS, options.every_ms / 1000, size=options.payload_bytes)
    ticker.start()
    while not ticker.published and ticker.is_alive():
        time.sleep(0.001)
    return ticker


def tabulate(outcomes: dict[str, Outcome]) -> dict[str, dict[str, float]]:
    """Return the rows of the table: medians over the broadcasts."""
    rows: dict[str, dict[str, float]] = {}
    for server, outcome in outcomes.items():
        for name in ("first", "median", "p99", "last"):
            values = [getattr(lateness, name) for lateness in outcome.crowd]
            rows.setdefault(f"broadcast: {name} receiver, ms", {})[server] = median(values)
        for when, lateness in (("at rest", outcome.quiet), ("meanwhile", outcome.meanwhile)):
            rows.setdefault(f"bystander {when}: p50, ms", {})[server] = lateness.median
            rows.setdefault(f"bystander {when}: p99, ms", {})[server] = lateness.p99
        rows.setdefault("of it until the publisher's answer: p99, ms", {})[server] = outcome.publisher_ms
    return rows


def checks(outcomes: dict[str, Outcome]) -> list[Check]:
    """Hold the bar against what the bystanders of the edge saw."""
    return [at_most("bystander p99 during a broadcast, ms", outcomes["edge"].meanwhile.p99, BAR_MS)]


def parse_options(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=15_000, metavar="N")
    parser.add_argument("--bystanders", type=int, default=5, metavar="N")
    parser.add_argument("--every-ms", type=float, default=20.0, metavar="N", help="between two of the bystanders'")
    parser.add_argument("--payload-bytes", type=int, default=100, metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="broadcasts")
    parser.add_argument("--quiet-seconds", type=float, default=3.0, metavar="N")
    parser.add_argument("--peers", action="store_true", help="Nchan and aiohttp as well")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args(words)


def main() -> int:
    """Broadcast, print, and keep the numbers."""
    end_on_signals()
    options = parse_options(sys.argv[1:])
    servers: dict[str, Serving] = {"edge": serving_edge} | (peers() if options.peers else {})
    outcomes: dict[str, Outcome] = {}
    for name, serving in servers.items():
        progress(f"{name} …")
        with serving() as server:
            outcomes[name] = measure(server, options)
    title = f"{options.payload_bytes} B to {options.subscribers} SSE subscribers, median of {options.rounds}"
    detail = {name: outcome._asdict() for name, outcome in outcomes.items()}
    code = conclude("broadcast", title, tabulate(outcomes), checks(outcomes), plan=vars(options), outcomes=detail)
    return code if options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
