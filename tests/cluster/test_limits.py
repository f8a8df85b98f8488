"""Limits on real processes: by address behind a proxy, whatever it says of clients, and a full edge before a crowd."""

import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from edge.protocol.proxies.proxy_line import SIGNATURE
from tests.cluster.bystander import NOISY, percentile, polling, until_enough
from tests.cluster.clients import HOST, StreamClient, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

PLACES, CROWD, PER_ADDRESS = 100, 600, 3
LIMITS = {
    "COMET_MAX_CONNECTIONS": str(PLACES),
    "COMET_TRUSTED_PROXIES": "127.0.0.0/8",
    "COMET_MAX_CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS),
    "COMET_NEW_CHANNELS_PER_MINUTE": "5",
    "COMET_SUBSCRIPTIONS_PER_SECOND": "20",
    "COMET_HISTORY_BYTES_PER_SECOND": "1000",
}


BY_ADDRESS = (
    "max_connections_per_address",
    "new_channels_per_minute",
    "subscriptions_per_second",
    "history_bytes_per_second",
)
STRANGER = "192.0.2.99"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with all limits, whose clients come from a proxy on this machine; edge b expects PROXY lines."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), **LIMITS)
    cluster.b.configure({"COMET_PROXY_PROTOCOL": "1"})
    with running(cluster):
        yield cluster


@pytest.fixture
def edge(cluster: Cluster) -> Service:
    """Return the edge whose proxy sends headers."""
    return cluster.a


def asking(path: str, client: str, *, keep: bool = False, header: str = "X-Forwarded-For") -> bytes:
    """Return a request as a proxy passes it on."""
    end = "keep-alive" if keep else "close"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}: {client}\r\nConnection: {end}\r\n\r\n".encode()


def held(edge: Service, client: str, stack: ExitStack, header: str = "X-Forwarded-For") -> bytes:
    """Ask for a stream, keep it, and return the first line of the answer."""
    return opened(edge, asking("/sub?id=room", client, keep=True, header=header), stack)


def opened(edge: Service, data: bytes, stack: ExitStack) -> bytes:
    """Open a connection with these bytes, keep it, and return the first line of the answer."""
    connection = stack.enter_context(socket.create_connection((HOST, edge.port), 5))
    connection.sendall(data)
    return connection.recv(65536).partition(b"\r\n")[0]


def refused(edge: Service, limit: str) -> float:
    """Return how often a limit was crossed."""
    return edge.metric(f'comet_refused_total{{limit="{limit}"}}')


def test_one_address_has_so_many_connections_and_another_one_its_own(edge: Service) -> None:
    """The limit itself is allowed, one more gets a 429, and others do not notice."""
    before = refused(edge, "max_connections_per_address")
    with ExitStack() as stack:
        heads = [held(edge, "192.0.2.7", stack) for _ in range(PER_ADDRESS + 1)]
        assert heads == [b"HTTP/1.1 200 OK"] * PER_ADDRESS + [b"HTTP/1.1 429 Too Many Requests"]
        assert held(edge, "192.0.2.8", stack) == b"HTTP/1.1 200 OK"
    assert refused(edge, "max_connections_per_address") == before + 1
    until(lambda: edge.metric('comet_connections{transport="stream"}') == 0)


HEADERS = {  # four times one client, and another one
    "Forwarded": (
        "Forwarded",
        ["for=192.0.2.20", 'For="192.0.2.20:4711";proto=https', "for=10.0.0.1, for=192.0.2.20", "for=192.0.2.20;by=x"],
        "for=192.0.2.20, for=192.0.2.21",
    ),
    "Forwarded by several proxies": ("Forwarded", ["for=192.0.2.22, for=127.0.0.9"] * 4, "for=192.0.2.23"),
    "Forwarded, IPv6": (
        "Forwarded",
        [
            'for="[2001:db8:0:1::1]"',
            'for="[2001:db8:0:1::2]:4711"',
            'for="[2001:db8:0:1:f::]"',
            'for="[2001:DB8:0:1::]"',
        ],
        'for="[2001:db8:0:2::1]"',
    ),
    "a /64 of IPv6": (
        "X-Forwarded-For",
        ["2001:db8:0:3::1", "2001:db8:0:3::2", "[2001:db8:0:3:ffff::]:80", "10.0.0.1, 2001:db8:0:3::4"],
        "2001:db8:0:4::1",
    ),
    "IPv4 in IPv6": (
        "X-Forwarded-For",
        ["192.0.2.24", "::ffff:192.0.2.24", "::FFFF:c000:218", "192.0.2.24:4711"],
        "::ffff:192.0.2.25",
    ),
}


@pytest.mark.parametrize(("header", "same", "other"), HEADERS.values(), ids=HEADERS.keys())
def test_a_client_is_who_the_proxy_says(edge: Service, header: str, same: Sequence[str], other: str) -> None:
    """However its address is written; what it claims itself, on the left, is not believed."""
    with ExitStack() as stack:
        heads = [held(edge, client, stack, header) for client in same]
        assert heads == [b"HTTP/1.1 200 OK"] * PER_ADDRESS + [b"HTTP/1.1 429 Too Many Requests"]
        assert held(edge, other, stack, header) == b"HTTP/1.1 200 OK"


def line(client: str) -> bytes:
    """Return a PROXY line (version 1)."""
    version, own = ip_address(client).version, "::1" if ":" in client else HOST
    return f"PROXY TCP{version} {client} {own} 4711 80\r\n".encode()


def block(client: str) -> bytes:
    """Return a PROXY block (version 2)."""
    address = ip_address(client).packed
    body = address + bytes(len(address)) + bytes(4)
    return SIGNATURE + bytes([0x21, 0x11 if len(address) == 4 else 0x21]) + len(body).to_bytes(2) + body


PREFACES = {  # four times one client, and another one
    "lines": ([line("192.0.2.30")] * 4, line("192.0.2.31")),
    "blocks": ([block("192.0.2.32")] * 4, block("192.0.2.33")),
    "both, a /64 of IPv6": (
        [line("2001:db8:1:1::1"), line("2001:db8:1:1:f::"), block("2001:db8:1:1::2"), block("2001:db8:1:1::3")],
        line("2001:db8:1:2::1"),
    ),
    "both, IPv4 in IPv6": (
        [line("192.0.2.34"), line("::ffff:192.0.2.34"), block("::ffff:192.0.2.34"), block("192.0.2.34")],
        block("::ffff:192.0.2.35"),
    ),
}
KEPT = b"GET /sub?id=room HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(("same", "other"), PREFACES.values(), ids=PREFACES.keys())
def test_a_client_is_who_the_proxy_line_says(cluster: Cluster, same: Sequence[bytes], other: bytes) -> None:
    """In either version of the protocol."""
    with ExitStack() as stack:
        heads = [opened(cluster.b, preface + KEPT, stack) for preface in same]
        assert heads == [b"HTTP/1.1 200 OK"] * PER_ADDRESS + [b"HTTP/1.1 429 Too Many Requests"]
        assert opened(cluster.b, other + KEPT, stack) == b"HTTP/1.1 200 OK"


def test_a_proxy_line_is_there_if_and_only_if_the_setting_is(cluster: Cluster) -> None:
    """The one edge is told nothing by a line, the other one nothing without it: each says so, and closes."""
    for edge, data in ((cluster.a, line("192.0.2.36") + KEPT), (cluster.b, KEPT)):
        answer, closed = exchange(edge.port, data)
        assert (answer.status, closed) == (400, True)
    assert "COMET_PROXY_PROTOCOL" in answer.json["content"]


def test_an_event_source_over_a_limit_comes_back(edge: Service) -> None:
    """It gets 200, a time, the reason as a comment, and the end: after a 429 it would never come again."""
    with ExitStack() as stack:
        for _ in range(PER_ADDRESS):
            held(edge, "192.0.2.40", stack)
        answer, closed = exchange(edge.port, asking("/sse?id=room", "192.0.2.40", keep=True))
    assert (answer.status, closed) == (200, True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert re.fullmatch(r"retry: [1-5]\d{3}\n: your address has too many connections here; close some\n", answer.text)


def test_clients_over_a_limit_are_told_different_times(edge: Service) -> None:
    """They do not all return together: seconds in `Retry-After`, milliseconds in `retry:`."""
    seconds, milliseconds = [], []
    for number in range(12):
        client = f"192.0.2.{100 + number}"
        many = "".join(f"&id=jitter-{each}" for each in range(21))
        assert exchange(edge.port, asking(f"/poll?timeout=0{many}", client))[0].status == 200
        told = exchange(edge.port, asking(f"/poll?timeout=0{many}", client))[0]
        assert told.status == 429
        seconds.append(int(told.headers["retry-after"]))
        milliseconds.append(int(exchange(edge.port, asking(f"/sse?x=y{many}", client))[0].text.split()[1]))
    assert {*seconds} <= {1, 2, 3, 4, 5}
    assert all(1000 <= each <= 5000 for each in milliseconds)
    assert len({*seconds}) >= 2
    assert len({*milliseconds}) >= 10


def test_one_address_brings_so_many_new_channels(edge: Service) -> None:
    """Names that nobody has used yet; a channel that is there is open to all."""
    before = refused(edge, "new_channels_per_minute")
    answers = [exchange(edge.port, asking(f"/poll?id=new{n}&timeout=0", "192.0.2.9"))[0] for n in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
    assert exchange(edge.port, asking("/poll?id=new1&timeout=0", "192.0.2.9"))[0].status == 200
    assert refused(edge, "new_channels_per_minute") == before + 1


def test_one_address_subscribes_so_often(edge: Service) -> None:
    """Twenty at once, and not many more."""
    before = refused(edge, "subscriptions_per_second")
    statuses = [exchange_quickly(edge, "192.0.2.10") for _ in range(40)]
    assert statuses[:20] == [b"200"] * 20
    assert b"429" in statuses
    assert exchange_quickly(edge, "192.0.2.11") == b"200"
    assert refused(edge, "subscriptions_per_second") == before + statuses.count(b"429")


def exchange_quickly(edge: Service, client: str) -> bytes:
    """Return the status of a poll."""
    with socket.create_connection((HOST, edge.port), 5) as connection:
        connection.sendall(asking("/poll?id=new1&timeout=0", client))
        return connection.recv(65536).split()[1]


def test_one_address_reads_so_much_history(cluster: Cluster) -> None:
    """A replay is sent whole and owed: the next position gets a 429, a newcomer from now on and others are served."""
    for number in range(5):
        cluster.publish("told", f"{number}" * 1000)
    replay = "/poll?id=told&timeout=0&since=0"
    first, second = [exchange(cluster.a.port, asking(replay, "192.0.2.13"))[0] for _ in range(2)]
    assert (first.status, len(first.json["messages"]), second.status) == (200, 5, 429)
    assert 1 <= int(second.headers["retry-after"]) <= 5
    assert exchange(cluster.a.port, asking("/poll?id=told&timeout=0", "192.0.2.13"))[0].status == 200
    assert exchange(cluster.a.port, asking(replay, "192.0.2.14"))[0].status == 200
    assert refused(cluster.a, "history_bytes_per_second") == 1


def test_behind_a_crowd_that_says_nothing_a_newcomer_is_answered_at_once(edge: Service) -> None:
    """S15: 600 silent connections on 100 places keep nobody out; told or served, it does not wait for them."""
    with ExitStack() as stack:
        for _ in range(CROWD):
            stack.enter_context(socket.create_connection((HOST, edge.port), 5))
        began = time.monotonic()
        answer, _ = exchange(edge.port, asking("/poll?id=room&timeout=0", "192.0.2.12"))
        assert answer.status in {200, 503}, "told, or served if the crowd came slowly"
        assert time.monotonic() - began <= 0.5
        time.sleep(1.2)  # a duration: those who say nothing for a second yield
        began = time.monotonic()
        with StreamClient(edge.port, "room"):
            assert time.monotonic() - began <= 0.5


def test_a_stranger_over_all_limits_disturbs_nobody_else(
    cluster: Cluster, edge: Service, record_property: Callable[[str, object], None]
) -> None:
    """Others poll and join as if it were not there, each from an address of its own, and messages arrive."""
    before = sum(refused(edge, limit) for limit in BY_ADDRESS)
    joined: list[float] = []
    with (
        ExitStack() as stack,
        polling(edge, pause=0.06, **{"X-Forwarded-For": "198.51.100.1"}) as took,
        StreamClient(edge.port, "room") as stays,
    ):
        statuses: Counter[bytes] = Counter()
        for number in until_enough(took, joined):
            statuses += Counter(strange(edge, number * 10 + each) for each in range(10))
            if number < 2 * PER_ADDRESS:
                statuses[held(edge, STRANGER, stack).split()[1]] += 1
            joined.append(joining(edge, f"198.51.{101 + number // 250}.{number % 250}"))
        cluster.publish("room", "still here")
        assert stays.receive() == "still here"
    record_property("polls p99, ms", round(1000 * percentile(took, 99), 1))
    record_property("joins p95, ms", round(1000 * percentile(joined, 95), 1))
    assert statuses[b"429"] > 0.9 * statuses.total()
    assert sum(refused(edge, limit) for limit in BY_ADDRESS) == before + statuses[b"429"]
    assert percentile(took, 99) <= NOISY * 0.05
    assert percentile(joined, 95) <= NOISY * 0.3


def strange(edge: Service, number: int) -> bytes:
    """Return the status of a poll for new channels, and for all that is kept of them."""
    names = "".join(f"&id=strange-{number}-{each}" for each in range(6))
    with socket.create_connection((HOST, edge.port), 5) as connection:
        connection.sendall(asking(f"/poll?timeout=0&since=0{names}", STRANGER))
        return connection.recv(65536).split()[1]


def joining(edge: Service, client: str) -> float:
    """Return how long it takes until a newcomer is welcome, in seconds."""
    began = time.monotonic()
    with socket.create_connection((HOST, edge.port), 5) as connection:
        connection.sendall(asking("/sub?id=room", client, keep=True))
        data = b""
        while b"hello world!" not in data:
            more = connection.recv(65536)
            assert more, data
            data += more
    return time.monotonic() - began
