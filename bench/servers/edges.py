"""Edges: one for itself, or several on one Redis that start a few at a time, are read together, and end together."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.clients.publishing import publishing_to_redis
from bench.servers.server import Server
from bench.servers.valkey import running_valkey
from bench.system.accounting import cpu_ns, open_files, settle
from bench.system.paths import CHECKOUT
from bench.system.processes import end, free_ports, start, wait_until

MAX_STARTING = 4  # edges that start together: more would only share the same cores
NEVER = "3600"  # heartbeats and poll time-outs would only disturb what is measured


class Edge(NamedTuple):
    """One running edge."""

    pid: int
    port: int
    admin_port: int


class Cluster(NamedTuple):
    """All running edges, and the port of their Redis."""

    edges: list[Edge]
    redis_port: int

    @property
    def pids(self) -> list[int]:
        """Return their processes."""
        return [edge.pid for edge in self.edges]

    @property
    def ports(self) -> list[int]:
        """Return the ports for subscribers."""
        return [edge.port for edge in self.edges]

    def cpu_us(self) -> float:
        """Return the CPU time of all edges in microseconds, once they have come to rest."""
        for pid in self.pids:
            settle(pid)
        return self.cpu_us_now()

    def cpu_us_now(self) -> float:
        """Return the CPU time of all edges in microseconds."""
        return sum(map(cpu_ns, self.pids)) / 1000

    def count_files(self) -> int:
        """Return the number of descriptors that all edges have open."""
        return sum(len(open_files(pid)) for pid in self.pids)


@contextmanager
def running_cluster(
    count: int, redis_url: str, *, checkout: Path = CHECKOUT, variables: Mapping[str, str] = {}, **settings: str
) -> Iterator[Cluster]:
    """Run `count` edges of a checkout until they are ready; `settings` are `COMET_*` variables without the prefix."""
    processes: list[subprocess.Popen[bytes]] = []
    edges: list[Edge] = []
    ports = iter(free_ports(2 * count))
    try:
        for first in range(0, count, MAX_STARTING):
            numbers = range(first, min(first + MAX_STARTING, count))
            for number in numbers:
                port, admin_port = next(ports), next(ports)
                whole = {**environment(redis_url, port, admin_port, settings), **variables}
                # `-m` looks into the working directory first, so that is whose code runs.
                processes.append(start(f"edge-{number}", [sys.executable, "-m", "edge"], whole, checkout))
                edges.append(Edge(processes[-1].pid, port, admin_port))
            for number in numbers:
                wait_until(partial(_is_ready, edges[number].admin_port), f"edge-{number}")
        yield Cluster(edges, urlsplit(redis_url).port or 6379)
    finally:
        end(processes)


def environment(redis_url: str, port: int, admin_port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Return an edge's environment: `COMET_*` variables of ours are left out, except for those given here."""
    own = {"REDIS_URL": redis_url, "EDGE_HOST": "127.0.0.1", "EDGE_PORT": str(port), "EDGE_ADMIN_PORT": str(admin_port)}
    own |= {"DRAIN_SECONDS": "0", "HEARTBEAT": NEVER, "POLL_TIMEOUT": NEVER, **settings}
    rest = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
    return rest | {f"COMET_{name}": value for name, value in own.items()}


def _is_ready(admin_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def serving_edge(
    *, plain: bool = False, checkout: Path = CHECKOUT, variables: Mapping[str, str] = {}, **settings: str
) -> Iterator[Server]:
    """Run an edge of a checkout with a Redis of its own; `settings` are `COMET_*` variables without the prefix."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        cluster = stack.enter_context(running_cluster(1, url, checkout=checkout, variables=variables, **settings))
        pid, port, admin_port = cluster.edges[0]
        connect = partial(publishing_to_redis, url, plain=plain)
        publisher = stack.enter_context(connect())
        yield Server("edge", pid, port, publisher, connect, admin_port=admin_port, redis_port=cluster.redis_port)


@contextmanager
def serving_websocket(*, plain: bool = False, checkout: Path = CHECKOUT) -> Iterator[Server]:
    """Run an edge whose streams are WebSockets."""
    with serving_edge(plain=plain, checkout=checkout) as edge:
        yield edge._replace(name="websocket", by_websocket=True)
