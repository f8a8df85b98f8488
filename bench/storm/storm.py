"""One reconnect storm after the other, over the same edges and the same clients."""

import time
from dataclasses import dataclass

from bench.clients.pacing import running_pacing
from bench.clients.publishing import publishing_to_redis, stamped
from bench.clients.subscribers import State, Subscribers, all_times, command_all, shares, wait_for_all
from bench.report.plan import Plan, option
from bench.report.statistics import percentile
from bench.servers.edges import Cluster

BYSTANDERS = 10  # on each edge
BYSTANDER_RATE = 50.0
QUIET_SECONDS = 3.0
MAX_STORM_SECONDS = 600.0
CLOSE_TIMEOUT = 60.0
MAX_FILES_AT_REST = 200  # of each edge, once the clients have gone

Numbers = dict[str, float]


@dataclass(frozen=True)
class StormPlan(Plan):
    """How much of everything."""

    rounds: int = option(3, "storms")
    connections: int = 50_000
    edges: int = 3
    channels: int = 500
    missed: int = option(3, "messages to each channel while all clients are away")
    window: int = option(0, "connections of one client process on their way at a time; 0: all at once")


class Storm:
    """The clients and the bystanders of one run."""

    def __init__(self, plan: StormPlan, cluster: Cluster, clients: list[Subscribers], url: str) -> None:
        self._plan = plan
        self._cluster = cluster
        self._clients = clients[:-1]
        self._bystanders = clients[-1]
        self._url = url
        self._turn = 0
        self.state = State()
        self.shares = shares(plan.connections, plan.edges)
        self.told = 0  # messages that the bystanders should have got

    def open(self) -> None:
        """Open all connections."""
        for port in self._cluster.ports:
            self._bystanders.open(BYSTANDERS, port, "/sse?id=bystander")
            self._bystanders.wait()
        for one, port, share in zip(self._clients, self._cluster.ports, self.shares, strict=True):
            one.open(share, port, "/sse?id=storm#", modulo=self._plan.channels)
        wait_for_all(self._clients)
        all_times(self._clients, "welcomes")

    def round(self) -> Numbers:
        """Let one storm come and go; return what it cost."""
        with running_pacing(self._url, BYSTANDER_RATE, MAX_STORM_SECONDS, "bystander") as pacing:
            time.sleep(QUIET_SECONDS)
            calm = self._bystanders.times("latencies")
            leaving = self._drop()
            self._publish_missed()
            self._bystanders.times("latencies")
            coming, seconds = self._come_back()
            busy = self._bystanders.times("latencies")
            self.told += BYSTANDERS * len(self._cluster.edges) * pacing.stop().published
        self._bystanders.do(f"wait {self.told}")
        return self._numbers(calm, busy, leaving, coming, seconds)

    def _drop(self) -> float:
        """Close all connections; return the edges' CPU."""
        before = self._cluster.cpu_us_now()
        command_all(self._clients, "drop")
        self._wait_for_rest()
        return self._cluster.cpu_us_now() - before

    def _publish_missed(self) -> None:
        with publishing_to_redis(self._url, plain=False) as publisher:
            for number in range(self._plan.channels):
                publisher.publish([stamped()] * self._plan.missed, f"storm{number}")

    def _come_back(self) -> tuple[float, float]:
        """Return the edges' CPU, and the seconds until the last connection was welcomed."""
        self._turn += 1
        ports, before = self._cluster.ports, self._cluster.cpu_us_now()
        started = time.monotonic()
        for number, one in enumerate(self._clients):
            one.send(f"back {ports[(number + self._turn) % len(ports)]} {self._plan.window}")
        wait_for_all(self._clients)
        seconds = time.monotonic() - started
        cpu = self._cluster.cpu_us_now() - before
        for share, one in zip(self.shares, self._clients, strict=True):
            one.send(f"wait {share * self._plan.missed * self._turn}")
        self.state = wait_for_all(self._clients)
        return cpu, seconds

    def _wait_for_rest(self) -> None:
        """Wait until the edges have closed what the clients closed; the bystanders' messages go on."""
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self._cluster.count_files() > len(self._cluster.edges) * MAX_FILES_AT_REST:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the edges have not closed the dropped connections within {CLOSE_TIMEOUT:.0f} s")
            time.sleep(0.05)

    def _numbers(self, calm: list[float], busy: list[float], leaving: float, coming: float, seconds: float) -> Numbers:
        count = sum(self.shares)
        welcomes = all_times(self._clients, "welcomes")
        return {
            "reconnects": len(welcomes),
            "reconnects/s": count / seconds,
            "until all are welcomed, s": seconds,
            "edge CPU/reconnect, µs": coming / count,
            "edge CPU/drop, µs": leaving / count,
            "welcome p50, ms": percentile(welcomes, 0.5),
            "welcome p99, ms": percentile(welcomes, 0.99),
            "bystander p99 in calm, ms": percentile(calm, 0.99),
            "bystander p50 in the storm, ms": percentile(busy, 0.5),
            "bystander p99 in the storm, ms": percentile(busy, 0.99),
            "refused so far": self.state.refused,
        }
