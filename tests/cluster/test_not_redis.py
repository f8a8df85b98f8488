"""Something that is not the Redis we need answers: 503 and one clear line, never a 500, a traceback, or a busy core."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.clients import get
from tests.cluster.not_redis import NotRedis
from tests.cluster.processes import Service
from tests.cluster.waiting import STARTING, until

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

MAX_LOG_BYTES = 8_000  # of a process in the seconds of one test
MAX_CPU = 0.35  # of a core
MAX_GROWTH = 96 << 20  # bytes of memory
SECONDS = 1.5
GIGABYTE = b"$1000000000\r\n" + b"x" * 5_000_000

KINDS: dict[str, tuple[bytes, bytes]] = {
    "OK": (b"+OK\r\n", b""),
    "nil": (b"$-1\r\n", b""),
    "zero": (b":0\r\n", b""),
    "a text": (b"$5\r\nhello\r\n", b""),
    "an empty array": (b"*0\r\n", b""),
    "an array of nils": (b"*3\r\n$-1\r\n$-1\r\n$-1\r\n", b""),
    "an array of arrays": (b"*2\r\n*1\r\n:1\r\n*0\r\n", b""),
    "a map": (b"%1\r\n+a\r\n:1\r\n", b""),
    "an array of a thousand million": (b"*1000000000\r\n", b""),
    "a bulk of a gigabyte": (GIGABYTE, b""),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b""),
    "nonsense": (b"\x00\xff hello\r\n", b""),
    "an error": (b"-ERR unknown command\r\n", b""),
    "a message of one part after the subscription": (b"+OK\r\n", b"*1\r\n$7\r\nmessage\r\n"),
    "a message of two parts after the subscription": (b"+OK\r\n", b"*2\r\n$7\r\nmessage\r\n$1\r\na\r\n"),
    "a message of numbers after the subscription": (b"+OK\r\n", b"*3\r\n$7\r\nmessage\r\n:1\r\n:2\r\n"),
    "nothing after the subscription": (b":1\r\n", b"*0\r\n"),
    "a huge array after the subscription": (b":1\r\n", b"*1000000000\r\n"),
    "a gigabyte after the subscription": (b":1\r\n", GIGABYTE),
    "junk after the subscription": (b":1\r\n", b"+OK\r\n" * 10_000),
}


@pytest.fixture(scope="module")
def server() -> Iterator[NotRedis]:
    """Return the server that is no Redis."""
    with NotRedis() as server:
        yield server


@pytest.fixture(scope="module")
def services(server: NotRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """Return an edge and a publisher that take it for their Redis."""
    folder, url = tmp_path_factory.mktemp("not-redis"), f"redis://127.0.0.1:{server.port}"
    edge, publisher = (Service(kind, kind, url, {"COMET_EDGE_URL": "/"}, folder) for kind in ("edge", "publisher"))
    for service in (edge, publisher):
        service.start()
    try:
        for service in (edge, publisher):
            until(lambda service=service: service.status("/healthz") == 200, STARTING)
        yield edge, publisher
    finally:
        for service in (edge, publisher):
            service.stop()


@pytest.mark.parametrize(("answer", "after"), KINDS.values(), ids=KINDS.keys())
def test_a_server_that_is_no_redis_costs_little(
    server: NotRedis, services: tuple[Service, Service], answer: bytes, after: bytes
) -> None:
    """Requests get 503, both processes are not ready and answer for themselves, and log, CPU and memory are bounded."""
    publisher = services[1]
    server.become(answer, after)
    before = [(len(one.whole_log), one.cpu_seconds, memory_of(one)) for one in services]
    began = time.monotonic()

    assert get(publisher.port, "/pub", id="room", content="hi").status == 503
    assert get(publisher.port, "/admin/edges").status in {200, 503}  # an empty array is an answer
    assert get(publisher.port, "/info", id="room").status in {200, 503}
    time.sleep(SECONDS)

    seconds = time.monotonic() - began
    for one, (size, cpu, memory) in zip(services, before, strict=True):
        assert one.status("/healthz") == 200
        assert one.status("/readyz") == 503
        log = one.whole_log[size:]
        assert len(log) < MAX_LOG_BYTES
        assert lines_of_errors(one.whole_log) == []
        assert (one.cpu_seconds - cpu) / seconds < MAX_CPU
        assert memory_of(one) - memory < MAX_GROWTH
    assert server.connections < 300


def test_the_log_says_what_came(server: NotRedis, services: tuple[Service, Service]) -> None:
    """One line names the command, what was answered to it, and what was expected."""
    edge, publisher = services
    server.become(b"+OK\r\n", b"")
    assert get(publisher.port, "/pub", id="room", content="hi").status == 503
    assert "this is not the redis we need: EVALSHA was answered b'OK', not list" in publisher.whole_log
    assert "redis cannot be used; not ready until it can" in edge.whole_log


def test_a_subscriber_is_told_to_come_back(server: NotRedis, services: tuple[Service, Service]) -> None:
    """As when there is no Redis at all."""
    edge, _ = services
    server.become(b"$-1\r\n")
    assert get(edge.port, "/poll", id="room").status == 503


def memory_of(service: Service) -> float:
    """Return how much memory a process has."""
    return service.metric("process_resident_memory_bytes")


def lines_of_errors(log: str) -> list[str]:
    """Return the lines of a log that are errors or not JSON, such as tracebacks."""
    return [line for line in log.splitlines() if not line.startswith("{") or json.loads(line)["level"] == "error"]
