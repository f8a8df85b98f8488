"""Several edges on one Redis: started a few at a time, read together, ended together."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from redis import Redis

from bench.system.processes import BUILD, CHECKOUT, NEVER, cpu_ns, settle, wait_until_ready

AT_ONCE = 4  # edges that start together; more would only share the same cores
END_SECONDS = 20


class Edge(NamedTuple):
    """One running edge."""

    pid: int
    port: int
    admin_port: int


class Fleet(NamedTuple):
    """All running edges, and the port of their Redis."""

    edges: list[Edge]
    redis_port: int

    @property
    def pids(self) -> list[int]:
        """Return their processes."""
        return [edge.pid for edge in self.edges]

    def cpu_us(self) -> float:
        """Return the CPU time of all edges in microseconds, once they have come to rest."""
        for edge in self.edges:
            settle(edge.pid)
        return self.cpu_us_now()

    def cpu_us_now(self) -> float:
        """Return the CPU time of all edges in microseconds."""
        return sum(cpu_ns(edge.pid) for edge in self.edges) / 1000

    def files(self) -> int:
        """Return how many descriptors all edges have open."""
        return sum(len(list(Path(f"/proc/{edge.pid}/fd").iterdir())) for edge in self.edges)


@contextmanager
def running_fleet(count: int, redis_url: str, *, checkout: Path = CHECKOUT, **settings: str) -> Iterator[Fleet]:
    """Run `count` edges of a checkout until they are ready; `settings` are `COMET_*` variables without the prefix."""
    processes: list[subprocess.Popen[bytes]] = []
    ports = iter(free_ports(2 * count))
    numbers = range(count)
    edges: list[Edge] = []
    try:
        for some in (numbers[start : start + AT_ONCE] for start in range(0, count, AT_ONCE)):
            for number in some:
                port, admin_port = next(ports), next(ports)
                processes.append(_start(number, checkout, environment(redis_url, port, admin_port, settings)))
                edges.append(Edge(processes[-1].pid, port, admin_port))
            for number in some:
                wait_until_ready(edges[number].admin_port, f"edge-{number}")
        yield Fleet(edges, urlsplit(redis_url).port or 6379)
    finally:
        end(processes)


def environment(redis_url: str, port: int, admin_port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """Return an edge's environment: nothing of ours but what is said here."""
    own = {"REDIS_URL": redis_url, "EDGE_HOST": "127.0.0.1", "EDGE_PORT": str(port), "EDGE_ADMIN_PORT": str(admin_port)}
    own |= {"DRAIN_SECONDS": "0", "HEARTBEAT": NEVER, "POLL_TIMEOUT": NEVER, **settings}
    rest = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
    return rest | {f"COMET_{name}": value for name, value in own.items()}


def _start(number: int, checkout: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start an edge; `-m` looks into the working directory first, so that is whose code runs."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"edge-{number}.log").open("wb") as log:
        command = [sys.executable, "-m", "edge"]
        return subprocess.Popen(command, env=variables, cwd=checkout, stdout=log, stderr=log)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes together: asked at once, then killed."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def pid_of_redis(url: str) -> int:
    """Return the pid of a Redis or Valkey on this machine."""
    with Redis.from_url(url) as redis:
        return int(redis.info("server")["process_id"])


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in sockets]
