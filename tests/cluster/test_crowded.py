"""Clients that harm themselves: more than the edge has room for, half-closed, torn off, silent, reading byte by byte.

None of them slows another client down, makes the edge spin, or costs it a descriptor for longer than it is there.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import quote

import pytest

from tests.cluster.clients import HOST, StreamClient, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # a quarter of a minute: each of its edges takes a second to end

FILES = 400
STRANGERS = 700
TRANSPORTS = ("stream", "sse", "poll", "ws")
HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
BIG = "x" * 60_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with one edge that may open 400 files, and gives up on slow readers after 2 seconds."""
    settings = {"COMET_HEADER_TIMEOUT": "1", "COMET_SLOW_SECONDS": "2"}
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)
    cluster.a.limit_open_files(FILES)
    with running(cluster):
        yield cluster


@pytest.fixture
def edge(cluster: Cluster) -> Iterator[Service]:
    """Return the edge; after the test it must have as many files open as before, and be at rest."""
    before = cluster.a.open_files
    yield cluster.a
    until(lambda: cluster.a.open_files <= before + 3)  # the pages of its internal port are kept alive
    used = cluster.a.cpu_seconds
    time.sleep(1)  # a duration, not a wait: how much it uses in a second without work
    assert cluster.a.cpu_seconds - used < 0.3, "it spins"


@contextmanager
def asking(edge: Service, transport: str, channel: str) -> Iterator[socket.socket]:
    """Open a connection of small buffers that subscribes by a transport."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(8)
        client.connect((HOST, edge.port))
        headers = HANDSHAKE if transport == "ws" else ""
        client.sendall(f"GET /{transport}?id={quote(channel)} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        yield client


def held(edge: Service) -> float:
    """Return how many subscribers the edge holds."""
    return sum(edge.metric(f'comet_connections{{transport="{transport}"}}') for transport in TRANSPORTS)


def test_strangers_take_neither_the_last_descriptors_nor_a_subscribers_place(cluster: Cluster, edge: Service) -> None:
    """With more connections than files the edge answers its probes, serves the clients it has, and does not spin."""
    with StreamClient(edge.port, "room") as stays, ExitStack() as strangers:
        for _ in range(STRANGERS):
            strangers.enter_context(_knocking(edge))
        until(lambda: get(edge.admin_port, "/readyz").json["room"]["ok"] is False)
        used, began = edge.cpu_seconds, time.monotonic()
        for number in range(20):
            assert edge.status("/healthz") == 200
            cluster.publish("room", str(number))
            assert stays.receive() == str(number)
            time.sleep(0.1)  # a duration: two seconds of siege
        assert edge.cpu_seconds - used < 0.5 * (time.monotonic() - began)
        assert edge.open_files < FILES - 20
        assert "system resource" not in edge.whole_log, "there was no descriptor left for the internal port"
    until(lambda: edge.ready)
    with StreamClient(edge.port, "room") as newcomer:
        cluster.publish("room", "room again")
        assert newcomer.receive() == "room again"


@contextmanager
def _knocking(edge: Service) -> Iterator[socket.socket]:
    """Open a connection that says nothing, and does not wait until it is accepted."""
    with socket.socket() as stranger:
        stranger.setblocking(False)
        with suppress(BlockingIOError):
            stranger.connect((HOST, edge.port))
        yield stranger


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_half_closes_has_gone(edge: Service, transport: str) -> None:
    """A client that sends its end will not take anything more: its seat is free at once."""
    with asking(edge, transport, "half") as client:
        until(lambda: held(edge) == 1)
        client.shutdown(socket.SHUT_WR)
        until(lambda: held(edge) == 0)


@pytest.mark.parametrize("transport", ["stream", "sse", "ws"])
def test_a_connection_torn_off_in_the_middle_of_a_write_harms_no_other(
    cluster: Cluster, edge: Service, transport: str
) -> None:
    """Its parked bytes are forgotten with it; a subscriber of the same channel gets every message."""
    with asking(edge, transport, "torn") as client, StreamClient(edge.port, "torn") as other:
        until(lambda: held(edge) == 2)

        def parked() -> bool:
            cluster.valkey.publish("torn", BIG)
            assert other.receive() == BIG
            return edge.metric("comet_parked_bytes") > 0

        until(parked)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        until(lambda: edge.metric("comet_parked_bytes") == 0)
        cluster.publish("torn", "after")
        assert other.receive() == "after"


def test_a_client_that_reads_byte_by_byte_is_cut_and_no_other_waits(cluster: Cluster, edge: Service) -> None:
    """A client that takes a few bytes now and then is cut when its time is over; others get everything meanwhile."""
    cut = edge.metric('comet_slow_readers_cut_total{limit="seconds"}')
    with asking(edge, "sse", "slow") as client, StreamClient(edge.port, "slow") as other:
        until(lambda: held(edge) == 2)
        number = 0

        def nibble_on() -> bool:
            nonlocal number
            number += 1
            with suppress(ConnectionError):
                client.recv(1)
            cluster.valkey.publish("slow", BIG if number < 4 else "small")
            assert other.receive() in {BIG, "small"}
            return edge.metric('comet_slow_readers_cut_total{limit="seconds"}') > cut

        until(nibble_on)
    assert edge.metric("comet_parked_bytes") == 0


def test_bytes_on_a_held_stream_end_it_and_nothing_else(cluster: Cluster, edge: Service) -> None:
    """A client that sends into its stream learns that this cannot be; a neighbour goes on."""
    with asking(edge, "stream", "talk") as client, StreamClient(edge.port, "talk") as other:
        until(lambda: held(edge) == 2)
        client.sendall(b"\0" * 100_000)
        until(lambda: held(edge) == 1)
        cluster.publish("talk", "hi")
        assert other.receive() == "hi"
