"""What a load balancer lets through, where it takes it, and what it says about the client."""

import re
import socket
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.cluster.clients import StreamClient, exchange, get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until
from tests.lb.balancers import Balancer
from tests.lb.conftest import EACH, balancing
from tests.lb.paths import FOR_EDGES, FOR_NO_SERVICE, FOR_THE_PUBLISHER, WALKS
from tests.lb.talking import Backend, ask

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=EACH)
def before_backends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """Return each balancer with stand-ins for an edge and the publisher behind it, which note what they are asked."""
    folder = tmp_path_factory.mktemp("lb")
    with Backend() as edge, Backend() as publisher, balancing(request.param(folder, [edge], publisher)) as balancer:
        yield balancer, edge, publisher


@pytest.mark.parametrize("path", FOR_EDGES)
def test_subscribers_reach_the_edges(before_backends, path: str) -> None:
    """Every path of a subscriber is an edge's."""
    balancer, edge, _ = before_backends
    assert ask("127.0.0.1", balancer.port, f"{path}?id=a%20b&since=1-2").text == "ok\n"
    assert edge.requests[-1][0] == f"GET {path}?id=a%20b&since=1-2"


@pytest.mark.parametrize("path", FOR_THE_PUBLISHER)
def test_pages_come_from_the_publisher(before_backends, path: str) -> None:
    """Pages and what they need are the publisher's."""
    balancer, _, publisher = before_backends
    assert ask("127.0.0.1", balancer.port, path, "POST" if path == "/demo/pub" else "GET").text == "ok\n"
    assert publisher.requests[-1][0].endswith(f" {path}")


@pytest.mark.parametrize("target", FOR_NO_SERVICE + WALKS)
def test_nothing_else_is_public(before_backends, target: str) -> None:
    """No other path, however it is written, reaches a service."""
    balancer, edge, publisher = before_backends
    before = len(edge.requests) + len(publisher.requests)
    for method in ("GET", "POST"):
        line = f"{method} {target}?id=secret&content=x HTTP/1.1\r\n"
        headers = "Host: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answer, _ = exchange(balancer.port, (line + headers).encode())
        assert answer.status in {301, 308, 400, 404}, answer
    assert len(edge.requests) + len(publisher.requests) == before


def test_the_public_cannot_publish(balancer: Balancer, edges: Cluster, channel: str) -> None:
    """A real publisher behind the balancer takes nothing from it: a subscriber gets only what came inside."""
    with StreamClient(balancer.port, channel) as subscriber:
        assert get(balancer.port, "/pub", id=channel, content="from outside").status == 404
        edges.publish(channel, "from inside")
        assert subscriber.receive() == "from inside"


@pytest.mark.parametrize("page", ["/", "/chat"])
def test_pages_get_all_they_need(balancer: Balancer, page: str) -> None:
    """Every file that a real page names comes through the balancer, too, and so does its configuration."""
    answer = get(balancer.port, page)
    assert answer.status == 200
    named = {urljoin(page, path) for path in re.findall(r'(?:src|href)="([^"#:]+)"', answer.text)} - {"/admin"}
    for path in named | {"/static/comet.js", "/static/comet.mjs", "/demo/config.json"}:
        assert get(balancer.port, path).status == 200, path


def test_the_clients_real_address_is_passed_on(before_backends) -> None:
    """What a client says about itself is replaced, not believed."""
    balancer, edge, _ = before_backends
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    ask("127.0.0.1", balancer.port, "/sub?id=1", **spoofed)
    headers = edge.requests[-1][1]
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")


def test_other_upgrades_are_not_passed_on(before_backends) -> None:
    """Only a WebSocket changes the protocol behind the balancer: h2c would lead around its rules."""
    balancer, edge, _ = before_backends
    ask("127.0.0.1", balancer.port, "/sub?id=1", Upgrade="h2c", Connection="Upgrade")
    assert edge.requests[-1][1].get("upgrade", "") == ""


@pytest.mark.parametrize("kind", EACH[:2])  # Caddy has no such limit
def test_one_address_cannot_take_everything(kind: type[Balancer], edges: Cluster, tmp_path: Path, channel: str) -> None:
    """Over the limit of its address a client gets 429, and when it has closed a connection it may open another."""
    with balancing(kind(tmp_path, edges.edges, edges.publisher, per_address=2)) as balancer:
        with StreamClient(balancer.port, channel), StreamClient(balancer.port, channel):
            assert get(balancer.port, "/poll", id=channel, timeout="0").status == 429
        until(lambda: get(balancer.port, "/poll", id=channel, timeout="0").status == 200)


def test_an_unfinished_request_is_cut(hasty_balancer: Balancer) -> None:
    """A client that does not finish its request head does not hold a connection."""
    with socket.create_connection(("127.0.0.1", hasty_balancer.port), 8) as raw:
        raw.sendall(b"GET /sub?id=1 HTTP/1.1\r\nHost: x\r\n")
        while raw.recv(4096):
            pass
