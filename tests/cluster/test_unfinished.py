"""Thousands of unfinished requests and frames: memory stays within the budget and comes back, others are served."""

import resource
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress

import pytest

from bench.clients.driver import Driver, running_program
from bench.system.programs import compile_c
from tests.cluster.bystander import NOISY, percentile, polling, until_enough
from tests.cluster.clients import HOST, StreamClient
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

COUNT = 3000
MORE = 10
UNFINISHED_COUNT = 5000
BUDGET = 4_194_304
SLACK = 1_048_576  # what one turn of the loop reads before room is made
SIZE = 15_000
HEAD = b"GET /sub?id=1 HTTP/1.1\r\nHost: x\r\nX: "
BODY = b"POST /sub/x HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n"
UPGRADE = (
    b"GET /ws?id=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
FRAME = b"\x81\xfe\x3f\xff\0\0\0\0"  # a text of 16,383 bytes begins
UNFINISHED = {"heads": HEAD, "bodies": BODY, "frames": UPGRADE + FRAME}


@pytest.fixture(scope="module", autouse=True)
def _files() -> None:
    """Let this process open as many files as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return the edge of a cluster that has no other."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), edges="a")
    with running(cluster):
        yield cluster.a


def resident(edge: Service) -> float:
    """Return the memory of the edge, in bytes."""
    return edge.metric("process_resident_memory_bytes")


def send_part(port: int, part: bytes) -> socket.socket:
    """Send an unfinished request on a connection of its own."""
    client = socket.create_connection((HOST, port), 5)
    with suppress(ConnectionError):
        client.sendall(part + b"a" * SIZE)
    return client


def flood(port: int, part: bytes, took: Sequence[float], clients: ExitStack) -> int:
    """Send unfinished requests, COUNT at once and then more for as long as the bystander needs; return how many."""
    opened = 0
    for _ in until_enough(took):
        for _ in range(MORE if opened else COUNT):
            clients.enter_context(closing(send_part(port, part)))
            opened += 1
        time.sleep(0.01)  # a duration: the bystander is a thread of this process, and polls between two rounds
    return opened


@pytest.mark.parametrize("kind", UNFINISHED)
def test_thousands_of_unfinished_requests_stay_within_the_budget(edge: Service, kind: str) -> None:
    """45 MB are sent and 4 MiB are kept; the oldest are ended and counted, and the memory comes back."""
    base = resident(edge)
    with polling(edge) as took, ExitStack() as clients:
        opened = flood(edge.port, UNFINISHED[kind], took, clients)
        ended = 'comet_refused_total{limit="input_bytes"}'
        until(lambda: opened - (BUDGET + SLACK) / SIZE <= edge.metric(ended) <= opened)
        assert BUDGET / 2 < edge.metric("comet_input_bytes") <= BUDGET
        assert resident(edge) <= base + 32 * 1024 * 1024
    assert percentile(took, 95) <= NOISY * 0.05
    until(lambda: edge.metric("comet_input_bytes") == 0)
    until(lambda: resident(edge) <= base + 16 * 1024 * 1024, 15)


def test_connections_that_are_opened_filled_and_closed_leave_nothing(edge: Service) -> None:
    """S13: what was read goes with its descriptor, not when a deadline passes."""
    base = resident(edge)
    for _ in range(10_000):
        send_part(edge.port, HEAD).close()
    assert resident(edge) <= base + 24 * 1024 * 1024
    until(lambda: edge.metric("comet_input_bytes") == 0)


def test_idle_partial_and_dripping_connections_are_closed_in_time(
    edge: Service, record_property: Callable[[str, object], None]
) -> None:
    """Five thousand: each is closed within the ten seconds, whatever it sends meanwhile, and others are served."""
    joins: list[float] = []
    with polling(edge) as polls, running_program(compile_c("unfinished"), edge.port, 60) as process:
        driver, opened = Driver(process), 0
        for _ in until_enough(polls, joins):
            (opened,) = driver.ask(f"open {UNFINISHED_COUNT}")
            driver.send("closed")
            while not select.select([process.stdout], [], [], 0.05)[0]:
                joins.append(joined(edge, len(joins)))
            closed, told, slowest = driver.receive()
    record_property("slowest_ms", slowest)
    for name, took in (("polls", polls), ("joins", joins)):
        record_property(f"{name} p95 and p99, ms", [round(1000 * percentile(took, percent), 1) for percent in (95, 99)])
    assert closed == opened
    assert told == opened * 3 // 4  # who sent nothing is told nothing
    assert slowest <= 10_000 + 1000 * max(polls)  # as late as that is this machine, not the edge
    assert percentile(polls, 99) <= NOISY * 0.05
    assert percentile(joins, 95) <= NOISY * 0.3


def joined(edge: Service, number: int) -> float:
    """Subscribe to a channel that is new; return how long it took, in seconds. It raises if that is refused."""
    began = time.monotonic()
    with StreamClient(edge.port, f"newcomer-{number}"):
        return time.monotonic() - began
