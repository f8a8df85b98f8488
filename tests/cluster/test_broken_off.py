"""Clients that break off in the middle of something leave no error in any log."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.cluster.processes import HOST, Cluster, Service
from tests.cluster.running import running
from tests.cluster.test_not_redis import lines_of_errors
from tests.cluster.waiting import until

LENGTH = b"Host: x\r\nContent-Length: 1000\r\nContent-Type: "
JSON, FORM = b"application/json\r\n\r\n", b"application/x-www-form-urlencoded\r\n\r\n"
CHUNKED = b"Host: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n10\r\n[{"
BEGINNINGS: dict[str, tuple[str, bytes]] = {
    "a JSON publish": ("publisher", b"POST /pub HTTP/1.1\r\n" + LENGTH + JSON + b'{"id":'),
    "a form publish": ("publisher", b"POST /pub HTTP/1.1\r\n" + LENGTH + FORM + b"id=room&content="),
    "a publish in chunks": ("publisher", b"POST /pub HTTP/1.1\r\n" + CHUNKED),
    "a publish without a body": ("publisher", b"POST /pub HTTP/1.1\r\n" + LENGTH + JSON),
    "a publish that waits for its 100": (
        "publisher",
        b"POST /pub HTTP/1.1\r\nExpect: 100-continue\r\n" + LENGTH + JSON,
    ),
    "a broadcast": ("publisher", b"POST /broadcast HTTP/1.1\r\n" + LENGTH + JSON + b"{"),
    "a close": ("publisher", b"POST /close HTTP/1.1\r\n" + LENGTH + FORM + b"id="),
    "a demo publish": ("publisher", b"POST /demo/pub HTTP/1.1\r\n" + LENGTH + JSON + b"{"),
    "a compressed publish": (
        "publisher",
        b"POST /pub HTTP/1.1\r\nContent-Encoding: gzip\r\n" + LENGTH + JSON + b"\x1f\x8b\x08",
    ),
    "a tail": ("publisher", b"GET /admin/tail?id=room HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a page": ("publisher", b"GET /static/comet.js HTTP/1.1\r\nHost: x\r\n\r\n"),
    "half a head": ("publisher", b"POST /pub HTTP/1.1\r\nHost:"),
    "a change": ("edge", b"POST /sub/0123456789abcdef HTTP/1.1\r\n" + LENGTH + JSON + b"[{"),
    "a poll": ("edge", b"GET /poll?id=room HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a stream": ("edge", b"GET /sub?id=room HTTP/1.1\r\nHost: x\r\n\r\n"),
    "half a handshake": ("edge", b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"),
}
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of its own, so that its log is of these tests alone."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", COMET_DEMO="1")) as cluster:
        yield cluster


@pytest.mark.parametrize("with_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(("kind", "data"), BEGINNINGS.values(), ids=BEGINNINGS.keys())
def test_breaking_off_is_no_error(cluster: Cluster, kind: str, data: bytes, with_reset: bool) -> None:
    """Neither a plain end nor a reset of the connection is worth more than a counter."""
    service = cluster.publisher if kind == "publisher" else cluster.a
    for port in (service.port, service.admin_port):
        break_off(port, data, with_reset)
    assert answers(service)
    assert lines_of_errors(service.whole_log) == []


def break_off(port: int, data: bytes, with_reset: bool) -> None:
    """Send the beginning of something, and close the connection."""
    with socket.create_connection((HOST, port), 5) as raw:
        raw.sendall(data)
        raw.settimeout(0.05)
        with suppress(OSError):
            raw.recv(1)  # let it be read
        if with_reset:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def answers(service: Service) -> bool:
    """Wait until the end of the connections has been handled."""
    return until(lambda: service.status("/healthz") == 200)
