"""Clients that behave badly, many of them at once: `python -m bench.rude`.

On a channel that gets messages all the time, clients send bytes into their stream, close their half of it, tear it off
with bytes on their way, read one byte a second; others open a connection and never speak. Only the last two kinds
keep theirs open until the edge ends it. Meanwhile the edge must not spin: its CPU is compared with that of the same
messages to one subscriber who behaves. In the end it must have let go of all of them by itself.
"""

import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.clients.publishing import CHANNEL, payload
from bench.report.outcome import Check, at_most, conclude, end_on_signals, equal, progress
from bench.report.plan import Plan, option, read_plan
from bench.servers.churn import STREAM_PATH, Visits
from bench.servers.leftovers import Leftovers, count_files
from bench.servers.metrics import read_metrics
from bench.servers.peers import Server, serving_edge

REQUEST = f"GET {STREAM_PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
SMALLEST = 1  # of a receive buffer: the kernel takes the least it has
SPIN = 50.0  # ms of CPU in a second, more than with one subscriber who behaves
CPU = "CPU/second while they stay, ms"
BURST, EVERY = 20, 0.5


@dataclass(frozen=True)
class RudePlan(Plan):
    """How much of everything."""

    rounds: int = 1
    clients: int = option(500, "of each kind")
    payload_bytes: int = 1024
    seconds: int = option(6, "in which the CPU is counted")
    patience: int = option(40, "seconds until the edge must have let go of everybody")


def send_bytes(client: socket.socket) -> None:
    """Talk into a stream, which nobody asked for."""
    client.send(b"x" * 100)


def half_close(client: socket.socket) -> None:
    """Say nothing more."""
    client.shutdown(socket.SHUT_WR)


def tear_off(client: socket.socket) -> None:
    """Reset the connection, whatever is on its way."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def nibble(client: socket.socket) -> None:
    """Read one byte, if there is any; the edge may have ended the connection."""
    try:
        client.recv(1)
    except OSError:
        return


GOING: tuple[Callable[[socket.socket], None], ...] = (send_bytes, half_close, tear_off)


def connect(port: int, request: bytes) -> socket.socket:
    """Open a connection with the smallest buffer there is, and send a request or nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALLEST)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    client.sendall(request)
    return client


@contextmanager
def connected(port: int, count: int, request: bytes = REQUEST) -> Iterator[list[socket.socket]]:
    """Hold so many connections while the block runs."""
    clients = [connect(port, request) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def publish(server: Server, plan: RudePlan, seconds: float, between: Callable[[], None]) -> float:
    """Publish a burst every now and then; return the CPU of the server in milliseconds per second."""
    before, began = server.cpu_ns(), time.monotonic()
    turns = int(seconds / EVERY)
    for turn in range(1, turns + 1):
        server.publisher.publish([payload(plan.payload_bytes)] * BURST)
        between() if turn % int(1 / EVERY) == 0 else None
        time.sleep(max(began + turn * EVERY - time.monotonic(), 0))
    return (server.cpu_ns() - before) / 1e6 / (time.monotonic() - began)


def measure(server: Server, plan: RudePlan) -> dict[str, float]:
    """Let them all come and behave as they do; return what the server used and what it has left."""
    with server.running_load() as load, ExitStack() as stack:
        load.open_streams(1, STREAM_PATH)
        polite = publish(server, plan, plan.seconds, lambda: None)
        files = count_files(server)
        going = [stack.enter_context(connected(server.port, plan.clients)) for _ in GOING]
        nibbling = stack.enter_context(connected(server.port, plan.clients))
        stack.enter_context(connected(server.port, plan.clients, b""))
        server.settle()
        filling = publish(server, plan, plan.seconds / 2, lambda: None)
        most = parked_bytes(server)
        for misbehave, clients in zip(GOING, going, strict=True):
            for client in clients:
                misbehave(client)
        staying = publish(server, plan, plan.seconds, partial(for_each, nibble, nibbling))
        took = let_go(server, plan, files, partial(for_each, nibble, nibbling))
        left = {"files": count_files(server) - files, "parked": parked_bytes(server), "most_parked": most}
    return {"polite": polite, "filling": filling, "staying": staying, "took": took, **left}


def parked_bytes(server: Server) -> float:
    """Return what the edge keeps for slow readers now."""
    return read_metrics(server.admin_port)["comet_parked_bytes"]


def for_each(act: Callable[[socket.socket], None], clients: list[socket.socket]) -> None:
    """Let each of them do it."""
    for client in clients:
        act(client)


def let_go(server: Server, plan: RudePlan, files: int, between: Callable[[], None]) -> float:
    """Go on until the server has closed all connections of its own accord; return how long that took."""
    began = time.monotonic()
    while count_files(server) > files and time.monotonic() < began + plan.patience:
        publish(server, plan, 1, between)
    return time.monotonic() - began


def run(plan: RudePlan) -> tuple[list[dict[str, float]], Leftovers]:
    """Measure all rounds on one edge; return the numbers, and what is left behind."""
    with serving_edge() as server:
        visits = Visits(server, plan.forget_seconds)
        rounds = []
        for number in range(1, plan.rounds + 1):
            progress(f"round {number} of {plan.rounds}: {plan.clients} of each kind on {CHANNEL} …")
            rounds.append(measure(server, plan))
        most = max(one["most_parked"] for one in rounds)
        return rounds, visits.leftovers(5 * plan.clients)._replace(parked=int(most))


def judge(middle: dict[str, float]) -> list[Check]:
    """Hold what was seen against what must hold."""
    return [
        at_most(CPU, middle["staying"], middle["polite"] + SPIN),
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
        "CPU/second with one who behaves, ms": {"edge": middle["polite"]},
        "CPU/second until the kernel's buffers are full, ms": {"edge": middle["filling"]},
        CPU: {"edge": middle["staying"]},
        "until all were let go, s": {"edge": middle["took"]},
        **left.rows(),
    }
    title = f"{plan.clients} clients of each of five rude kinds on one edge"
    return conclude("rude", title, plan, rows, [*judge(middle), *left.checks()], per_round=rounds)


if __name__ == "__main__":
    sys.exit(main())
