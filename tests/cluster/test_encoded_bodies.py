"""Bodies that inflate to very much: each is refused at little cost, and others publish meanwhile."""

import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from tests.cluster.bystander import NOISY
from tests.cluster.clients import HOST, READ_DEADLINE, Connection, StreamClient, exchange
from tests.cluster.processes import Cluster

BOMB = zlib.compress(bytes(65 << 20), 9)  # 66 KB
BOMBS_PER_SECOND = 10
ENCODED = {"Content-Type": "application/json", "Content-Encoding": "deflate"}


def test_an_encoded_body_is_published(cluster: Cluster, channel: str) -> None:
    """As it was before it was encoded."""
    with StreamClient(cluster.a.port, channel) as client, closing(publisher(cluster)) as http_client:
        body = json.dumps([{"id": channel, "content": f"message {number}"} for number in range(100)]).encode()
        http_client.request("POST", "/pub", zlib.compress(body), ENCODED)
        assert http_client.getresponse().status == 200
        assert [client.next_object()["content"] for _ in range(100)] == [f"message {number}" for number in range(100)]


@pytest.mark.parametrize("encoding", ["br", "zstd"])
@pytest.mark.parametrize("path", ["/pub", "/broadcast", "/sub/ffffffff.AAAAAAAAAAAAAAAAAAAAAAAA"])
def test_an_encoding_that_is_not_read_is_415_in_json(cluster: Cluster, path: str, encoding: str) -> None:
    """By a publisher, and by an edge for a change of channels: the sentence names the header, and no package."""
    port = (cluster.a if path.startswith("/sub") else cluster.publisher).port
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3\r\n"
    answer, _ = exchange(port, f"{head}Content-Encoding: {encoding}\r\n\r\nabc".encode(), "POST")
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (415, "application/json")
    assert (answer.json["type"], answer.json["code"]) == ("error", 415)
    assert answer.json["content"].startswith("content-encoding: ")
    assert answer.text.count("\n") == 1


@pytest.mark.system
def test_ten_bombs_a_second_leave_a_publish_under_50_ms(
    cluster: Cluster, channel: str, record_property: Callable[[str, object], None]
) -> None:
    """S5: half of the time each took 1.1 s. A bomb is answered with 413 within 20 ms, however large it would be."""
    answers: list[tuple[int, float]] = []
    is_over = threading.Event()

    def throw() -> None:
        while not is_over.wait(1 / BOMBS_PER_SECOND):
            with closing(publisher(cluster)) as http_client, suppress(ConnectionError):
                began = time.monotonic()
                http_client.request("POST", "/pub", BOMB, ENCODED)
                answers.append((http_client.getresponse().status, time.monotonic() - began))

    thread = threading.Thread(target=throw)
    thread.start()
    took = []
    try:
        with Connection(cluster.publisher.port) as backend:
            while len(answers) < 30 or len(took) < 100:
                began = time.monotonic()
                assert backend.post("/pub", {"id": channel, "content": "x"}).status == 200
                took.append(time.monotonic() - began)
                time.sleep(0.01)  # a duration: a backend that publishes up to a hundred times a second
    finally:
        is_over.set()
        thread.join()
    bombs = sorted(seconds for _, seconds in answers)
    took.sort()
    record_property("publishes: median and p95, ms", [round(1000 * took[len(took) * p // 100], 1) for p in (50, 95)])
    record_property("bombs: median, ms", round(1000 * bombs[len(bombs) // 2], 1))
    assert {status for status, _ in answers} == {413}
    assert bombs[len(bombs) // 2] <= NOISY * 0.02
    assert took[len(took) * 95 // 100] <= NOISY * 0.05


def publisher(cluster: Cluster) -> http.client.HTTPConnection:
    """Return a connection to the publisher."""
    return http.client.HTTPConnection(HOST, cluster.publisher.port, timeout=READ_DEADLINE)
