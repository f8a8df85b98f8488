"""Clients that behave badly, many of them at once: `python -m bench.rude`.

On a channel that gets messages all the time, clients send bytes into their stream, close their half of it, reset it
with bytes on their way, read one byte a second; others open a connection and never speak. Only the last two kinds
keep theirs open until the edge ends it. Meanwhile the edge must not spin: its CPU is compared with that of the same
messages to one subscriber that behaves. In the end it must have closed all of them by itself.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.clients.publishing import CHANNEL, payload
from bench.report.checks import Check, at_most, equal
from bench.report.console import end_on_signals, progress
from bench.report.outcome import conclude
from bench.report.plan import Plan, option, read_plan
from bench.rude.clients import connected, for_each, half_close, nibble, reset, send_bytes
from bench.servers.churn import STREAM_PATH, Churn
from bench.servers.edges import serving_edge
from bench.servers.leftovers import Leftovers, count_files
from bench.servers.metrics import read_metrics
from bench.servers.server import Server

REQUEST = f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
LEAVING = (send_bytes, half_close, reset)  # the kinds that do not wait for the edge
MAX_SPIN = 50.0  # ms of CPU in a second, more than with one subscriber that behaves
CPU = "CPU/second while they stay, ms"
BURST, BURST_INTERVAL = 20, 0.5


@dataclass(frozen=True)
class RudePlan(Plan):
    """How much of everything."""

    rounds: int = 1
    clients: int = option(500, "of each kind")
    payload_bytes: int = 1024
    seconds: int = option(6, "in which the CPU is counted")
    patience: int = option(40, "seconds until the edge must have closed all of them")


def publish(server: Server, plan: RudePlan, seconds: float, each_second: Callable[[], None] | None = None) -> float:
    """Publish a burst every half second; return the CPU of the server in milliseconds per second."""
    before, began = server.cpu_ns(), time.monotonic()
    turns = int(seconds / BURST_INTERVAL)
    for turn in range(1, turns + 1):
        server.publisher.publish([payload(plan.payload_bytes)] * BURST)
        if each_second and turn % int(1 / BURST_INTERVAL) == 0:
            each_second()
        time.sleep(max(began + turn * BURST_INTERVAL - time.monotonic(), 0))
    return (server.cpu_ns() - before) / 1e6 / (time.monotonic() - began)


def measure(server: Server, plan: RudePlan) -> dict[str, float]:
    """Let all clients come and misbehave; return what the server used and what it has left."""
    with server.running_load() as load, ExitStack() as stack:
        load.open_streams(1, STREAM_PATH)
        polite = publish(server, plan, plan.seconds)
        files = count_files(server)
        leaving = [stack.enter_context(connected(server.port, plan.clients, REQUEST)) for _ in LEAVING]
        nibbling = stack.enter_context(connected(server.port, plan.clients, REQUEST))
        stack.enter_context(connected(server.port, plan.clients, b""))
        server.settle()
        filling = publish(server, plan, plan.seconds / 2)
        most = parked_bytes(server)
        for misbehave, clients in zip(LEAVING, leaving, strict=True):
            for_each(misbehave, clients)
        staying = publish(server, plan, plan.seconds, partial(for_each, nibble, nibbling))
        took = wait_for_closes(server, plan, files, partial(for_each, nibble, nibbling))
        left = {"files": count_files(server) - files, "parked": parked_bytes(server), "most_parked": most}
    return {"polite": polite, "filling": filling, "staying": staying, "took": took, **left}


def parked_bytes(server: Server) -> float:
    """Return what the edge keeps for slow readers now."""
    return read_metrics(server.admin_port)["comet_parked_bytes"]


def wait_for_closes(server: Server, plan: RudePlan, files: int, each_second: Callable[[], None]) -> float:
    """Publish until the server has closed all connections by itself; return the seconds that took."""
    began = time.monotonic()
    while count_files(server) > files and time.monotonic() < began + plan.patience:
        publish(server, plan, 1, each_second)
    return time.monotonic() - began


def run(plan: RudePlan) -> tuple[list[dict[str, float]], Leftovers]:
    """Measure all rounds on one edge; return the numbers, and what is left behind."""
    with serving_edge() as server:
        churn = Churn(server, plan.forget_seconds)
        rounds = []
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {plan.clients} of each kind on {CHANNEL} …")
            rounds.append(measure(server, plan))
        most = max(one["most_parked"] for one in rounds)
        return rounds, churn.leftovers(5 * plan.clients)._replace(parked=int(most))


def judge(middle: dict[str, float]) -> list[Check]:
    """Hold what was seen against what must hold."""
    return [
        at_most(CPU, middle["staying"], middle["polite"] + MAX_SPIN),
        equal("descriptors not closed while they stayed", middle["files"], 0),
        equal("bytes parked for them in the end", middle["parked"], 0),
    ]


def main() -> int:
    """Measure, print, and keep the numbers."""
    end_on_signals()
    plan = read_plan("rude", __doc__, RudePlan(), sys.argv[1:])
    rounds, left = run(plan)
    middle = {name: median(one[name] for one in rounds) for name in rounds[0]}
    rows = {
        "CPU/second with one that behaves, ms": {"edge": middle["polite"]},
        "CPU/second until the kernel's buffers are full, ms": {"edge": middle["filling"]},
        CPU: {"edge": middle["staying"]},
        "until all were let go, s": {"edge": middle["took"]},
        **left.rows(),
    }
    title = f"{plan.clients} clients of each of five rude kinds on one edge"
    return conclude("rude", title, plan, rows, [*judge(middle), *left.checks()], per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
