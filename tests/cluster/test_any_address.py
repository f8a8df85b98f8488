"""The addresses that processes listen on by default, and clients of IPv4 on a socket that hears IPv6 as well."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from common.service.addresses import has_address
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running

pytestmark = pytest.mark.skipif(not has_address("::1"), reason="this machine is without IPv6")

PER_ADDRESS = 2
LIMITS = {"COMET_TRUSTED_PROXIES": "127.0.0.1,::1", "COMET_MAX_CONNECTIONS_PER_ADDRESS": str(PER_ADDRESS)}


def free_port() -> int:
    """Return a port that is free on every address."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as held:
        return int(held.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of an edge and a publisher with the default hosts, and an edge on `localhost`."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), **LIMITS)
    for service, kind in zip(cluster.services, ("EDGE", "EDGE", "PUBLISHER"), strict=True):
        service.port = free_port()
        service.leave_at_default(f"COMET_{kind}_HOST")
        service.configure({f"COMET_{kind}_PORT": str(service.port)})
    cluster.b.configure({"COMET_EDGE_HOST": "localhost"})
    with running(cluster):
        yield cluster


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return what closes all connections of a test."""
    with ExitStack() as stack:
        yield stack


def status(
    service: Service, stack: ExitStack, where: str = "127.0.0.1", *, source: str = "", client: str = "", path: str = ""
) -> int:
    """Ask for a stream or a path, from a source, perhaps for the client of a proxy; return the status of the answer."""
    port = service.port
    connection = stack.enter_context(
        socket.create_connection((where, port), 5, (source, 0) if source else None)  # which stays open
    )
    forwarded = f"X-Forwarded-For: {client}\r\n" if client else ""
    connection.sendall(f"GET {path or '/stream?id=room'} HTTP/1.1\r\nHost: x\r\n{forwarded}\r\n".encode())
    return int(connection.recv(65536).split()[1])


@pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.2", "::1"])
def test_an_edge_hears_every_address_by_default(cluster: Cluster, stack: ExitStack, where: str) -> None:
    """IPv4 and IPv6, with nothing set."""
    assert status(cluster.a, stack, where) == 200


@pytest.mark.parametrize("where", ["127.0.0.1", "::1"])
def test_localhost_is_both_loopbacks(cluster: Cluster, stack: ExitStack, where: str) -> None:
    """Of an edge, and of a publisher, which is there by default: a client of either family gets in."""
    assert status(cluster.b, stack, where) == 200
    assert status(cluster.publisher, stack, where, path="/info") == 200


def test_localhost_is_nothing_else(cluster: Cluster, stack: ExitStack) -> None:
    """A publisher is for trusted networks only."""
    for service in (cluster.b, cluster.publisher):
        with pytest.raises(ConnectionRefusedError):
            status(service, stack, "127.0.0.2")


def test_a_client_of_ipv4_is_counted_as_one(cluster: Cluster, stack: ExitStack) -> None:
    """The socket has it as ::ffff:127.0.0.2. All of these are in one /64, and are not one client."""
    mine = [status(cluster.a, stack, source="127.0.0.2") for _ in range(PER_ADDRESS + 1)]
    assert mine == [200] * PER_ADDRESS + [429]
    assert [status(cluster.a, stack, source="127.0.0.3") for _ in range(PER_ADDRESS)] == [200] * PER_ADDRESS


def test_a_trusted_proxy_of_ipv4_is_recognised(cluster: Cluster, stack: ExitStack) -> None:
    """Its own address counts for nobody, and its word for where a client is, which counts as if it came directly."""
    assert [status(cluster.a, stack) for _ in range(PER_ADDRESS + 1)] == [200] * (PER_ADDRESS + 1)
    for client in ("192.0.2.7", "127.0.0.4"):
        passed_on = [status(cluster.a, stack, client=client) for _ in range(PER_ADDRESS + 1)]
        assert passed_on == [200] * PER_ADDRESS + [429]
    assert status(cluster.a, stack, client="192.0.2.8") == 200
    assert status(cluster.a, stack, source="127.0.0.4") == 429


def test_a_trusted_proxy_of_ipv6_is_recognised(cluster: Cluster, stack: ExitStack) -> None:
    """Its clients of IPv6 count by their /64."""
    clients = ("2001:db8::7", "2001:db8::8", "2001:db8::9", "2001:db8:0:1::7")
    assert [status(cluster.a, stack, "::1", client=client) for client in clients] == [200, 200, 429, 200]


def test_who_is_not_trusted_is_not_believed(cluster: Cluster, stack: ExitStack) -> None:
    """A client of IPv4 cannot give itself other addresses."""
    mine = [status(cluster.a, stack, source="127.0.0.5", client=f"192.0.2.{n}") for n in range(PER_ADDRESS + 1)]
    assert mine == [200] * PER_ADDRESS + [429]
