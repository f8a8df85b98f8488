"""Whatever a client sends to any port, no log has a line of level error, and no answer is a 500.

Clients that break off are in test_broken_off.py, requests that servers understand differently in odd_requests.py,
random ones in test_mutated_input.py. Here is what libraries between the socket and our code trip over.
"""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.cluster.odd_requests import say
from tests.cluster.processes import HOST as ADDRESS
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.test_not_redis import lines_of_errors
from tests.cluster.waiting import until

OPEN_FILES = 260
CROWDED = 2.5  # seconds
KEY = "a-key-that-nobody-guesses"
HOST = b"Host: x\r\n"
JSON, FORM = b"Content-Type: application/json\r\n", b"Content-Type: application/x-www-form-urlencoded\r\n"
FORM_DATA = b"Content-Type: multipart/form-data"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
PATHS = (b"/pub", b"/demo/pub", b"/close", b"/broadcast", b"/sub/ffffffff.AAAAAAAAAAAAAAAAAAAAAAAA")
METHODS = (b"HEAD", b"TRACE", b"PROPFIND", b"DELETE", b"CONNECT")
HOSTS = (b"[", b"a:b:c", b"x:99999", b"\xff")
PAGES = (
    b"/",
    b"/static/comet.js",
    b"/info?id=room",
    b"/admin/tail?id=room",
    b"/readyz",
    b"/metrics",
    b"/poll?id=room&timeout=0",
)


def get(target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    """Return a request without a body."""
    return method + b" " + target + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n"


def on_pages(headers: bytes, method: bytes = b"GET") -> list[bytes]:
    """Return a request with these headers for each page."""
    return [get(page, headers, method) for page in PAGES]


def posts(headers: bytes, body: bytes) -> list[bytes]:
    """Return a request with this body for each path that takes one."""
    length = b"" if b"chunked" in headers else b"Content-Length: %d\r\n" % len(body)
    return [get(path, headers + length, b"POST") + body for path in PATHS]


MISBEHAVIOURS: dict[str, list[bytes]] = {
    "JSON that is nested a thousand deep": posts(JSON, b"[" * 1000 + b"]" * 1000),
    "JSON that is nested very deep": posts(JSON, b'{"a":' * 100_000),
    "JSON with half of a character": posts(JSON, rb'{"id":"\ud83d","content":"\udc00","op":"sub"}'),
    "JSON with a number of ten thousand digits": posts(JSON, b'{"id":"a","content":' + b"9" * 10_000 + b"}"),
    "JSON with a number beyond all floats": posts(JSON, b'{"id":"a","content":1e999,"ttl":1e999,"subscribers":1e999}'),
    "JSON that is not UTF-8": posts(JSON, b'{"id":"\xff"}'),
    "JSON in UTF-16": posts(JSON, '{"id":"a","content":"b"}'.encode("utf-16")),
    "JSON with a mark of byte order": posts(JSON, b'\xef\xbb\xbf{"id":"a","content":"b"}'),
    "JSON of another kind": posts(JSON, b"null") + posts(JSON, b"[null,[],{}]") + posts(JSON, b'{"id":{},"ids":7}'),
    "JSON in a character set that is none": posts(JSON[:-2] + b"; charset=nonsense\r\n", b'{"id":"a"}'),
    "a form in a character set that is none": posts(FORM[:-2] + b"; charset=nonsense\r\n", b"id=a&content=b"),
    "a form that is not UTF-8": posts(FORM, b"id=%ff&content=%ed%a0%80&\xff=\xff"),
    "a form of ten thousand fields": posts(FORM, b"a=&" * 10_000),
    "parts without a boundary": posts(FORM_DATA + b"\r\n", b"--x\r\n\r\nid\r\n--x--"),
    "parts that do not end": posts(FORM_DATA + b"; boundary=x\r\n", b"--x\r\nContent-Disposition: form-data\r\n"),
    "a type that is none": posts(b"Content-Type: /;;=\r\n", b"x") + posts(b"Content-Type: \r\n", b"x"),
    "a gzip that is none": posts(JSON + b"Content-Encoding: gzip\r\n", b"{}"),
    "a deflate that is none": posts(FORM + b"Content-Encoding: deflate\r\n", b"\x78\x9c\xff\xff"),
    "two encodings": posts(JSON + b"Content-Encoding: gzip, deflate\r\n", b"\x1f\x8b\x08"),
    "a chunk whose size is none": posts(JSON + CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk whose size is negative": posts(JSON + CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is longer than its size": posts(JSON + CHUNKED, b"1\r\n{}{}{}\r\n0\r\n\r\n"),
    "a chunk of a huge size": posts(JSON + CHUNKED, b"fffffffffffffffff\r\n{}\r\n"),
    "trailers that are none": posts(JSON + CHUNKED, b"2\r\n{}\r\n0\r\nX\0Y\r\n\r\n"),
    "an expectation that is none": posts(JSON + b"Expect: the-worst\r\n", b"{}"),
    "a key that is not ASCII": on_pages(b"Authorization: Bearer \xe9\xff\r\n"),
    "a key of another scheme": on_pages(b"Authorization: Basic !!!!\r\n") + on_pages(b"Authorization:\r\n"),
    "a cookie that is none": on_pages(b'Cookie: =;="\\;,\xff;a=b=c\r\n'),
    "an origin that is none": on_pages(b"Origin: http://[\r\nReferer: http://[::\r\n"),
    "a tag that is none": on_pages(b'If-None-Match: W/"\xff, "\r\nIf-Match: \\\r\n'),
    "a range that is none": on_pages(b"Range: bytes=9-1,-,0x1\r\nIf-Range: \xff\r\n"),
    "dates that are none": on_pages(b"If-Modified-Since: Thu, 99 Foo 99999 99:99:99 GMT\r\nIf-Unmodified-Since: 0\r\n"),
    "a position that is none": on_pages(b"Last-Event-ID: \xff\xfe\r\nAccept: text/event-stream\r\n"),
    "addresses that are none": on_pages(b"X-Forwarded-For: [::1%, 999.1.1.1, \xff\r\nForwarded: for=\";\r\n"),
    "an upgrade to a WebSocket without a key": on_pages(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "an upgrade with a key that is none": on_pages(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff\r\n"
    ),
    "an upgrade to HTTP/2": on_pages(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"),
    "methods that nobody takes": [one for method in METHODS for one in on_pages(b"", method)],
    "a Host that is none": [page.replace(HOST, b"Host: " + host + b"\r\n") for page in on_pages(b"") for host in HOSTS],
    "a path with NUL": [get(b"/static/%00"), get(b"/%00")],
    "a path that leads out": [get(b"/static/..%2f..%2fapp.py"), get(b"/static/%2e%2e/app.py"), get(b"/../etc/passwd")],
    "a path that is not UTF-8": [get(b"/static/%ff%fe"), get(b"/%ed%a0%80"), get(b"/sub/%ff", JSON, b"POST")],
    "a long path": [get(b"/static/" + b"a" * 5000), get(b"/" + b"%41" * 2000)],
    "escapes that are none": [get(b"/info?id=%"), get(b"/pub?id=%zz&content=%u0041"), get(b"/poll?id=%"), get(b"/%")],
    "a query that is not UTF-8": [get(path + b"?id=%ff&content=%ed%a0%80&since=%ff") for path in PATHS],
    "a URL that is none": [get(url) for url in (b"http://[", b"http://x:99999/pub", b"//[/pub", b"*", b"http:", b"?")],
    "a port to connect to": [get(b"x:80", method=b"CONNECT"), get(b"/", method=b"CONNECT")],
    "more requests than are read": [get(b"/info?id=room") * 500, get(b"/poll?id=room&timeout=0") * 500],
    "a body that nobody asked for": [get(page, b"Content-Length: 5\r\n") + b"hello" + get(page) for page in PAGES],
    "a number where none can be": [get(b"/admin/tail?id=room&since=99999999999999999999-1"), get(b"/info?id=a&n=1e9")],
    "not HTTP": [b"\x16\x03\x01\x02\x00\x01\x00", b"\0" * 2000, b"GET", b"\r\n" * 5000, b"SSH-2.0-OpenSSH\r\n"],
}  # fmt: skip


@pytest.fixture(scope="module", params=["", KEY], ids=["open", "with a key"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of its own, so that its log is of these tests alone."""
    settings = {"COMET_DEMO": "1"} | ({"COMET_PUBLISH_KEYS": request.param} if request.param else {})
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield cluster


@pytest.mark.system
@pytest.mark.parametrize("requests", MISBEHAVIOURS.values(), ids=MISBEHAVIOURS.keys())
def test_misbehaviour_is_no_error(cluster: Cluster, requests: list[bytes]) -> None:
    """It costs its client the connection at most, on the public and on the internal port of each service."""
    ports = [port for service in (cluster.a, cluster.publisher) for port in (service.port, service.admin_port)]

    def answered(port: int) -> list[tuple[bytes, bytes]]:
        return [(data[:200], say(port, data, patience=0.5, quiet=0.05).received[:400]) for data in requests]

    with ThreadPoolExecutor(len(ports)) as pool:
        for answers in pool.map(answered, ports):
            assert [(data, found) for data, found in answers if b"HTTP/1.1 500" in found] == []
    for service in (cluster.a, cluster.publisher):
        assert service.status("/healthz") == 200
        assert lines_of_errors(service.whole_log) == []


@pytest.mark.system
@pytest.mark.parametrize("kind", ["edge", "publisher"])
@pytest.mark.parametrize("port", ["public", "internal"])
def test_more_connections_than_open_files_are_no_error(tmp_path: Path, kind: str, port: str) -> None:
    """A crowd that says nothing takes all that a process may open; it is served again when the crowd has gone."""
    cluster = Cluster(tmp_path, edges="a")
    service = cluster.a if kind == "edge" else cluster.publisher
    service.limit_open_files(OPEN_FILES)
    with running(cluster):
        with ExitStack() as crowd:
            for _ in range(2 * OPEN_FILES):
                raw = socket.socket()
                crowd.enter_context(closing(raw))
                raw.setblocking(False)
                raw.connect_ex((ADDRESS, service.port if port == "public" else service.admin_port))
            time.sleep(CROWDED)  # a duration: that of the crowd
        until(lambda: service.status("/healthz") == 200)
        assert lines_of_errors(service.whole_log) == []
