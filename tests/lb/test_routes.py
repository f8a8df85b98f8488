"""What a load balancer lets through, where it takes it, and what it says about the client."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.cluster.clients import StreamClient, exchange, get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until
from tests.lb.balancers import Balancer
from tests.lb.conftest import EACH, balancing
from tests.lb.paths import FOR_EDGES, FOR_NO_SERVICE, FOR_THE_DEMO, FOR_THE_PUBLISHER, WALKS
from tests.lb.talking import Backend, ask

pytestmark = pytest.mark.system


Backends = tuple[Balancer, Backend, Backend]  # a balancer, and what stands behind it for an edge and the publisher


@contextmanager
def in_front(kind: type[Balancer], folder: Path, demo: str = "") -> Iterator[Backends]:
    """Run a balancer with stand-ins for an edge and the publisher behind it, which note what they are asked."""
    with Backend() as edge, Backend() as publisher, balancing(kind(folder, [edge], publisher, demo=demo)) as balancer:
        yield balancer, edge, publisher


@pytest.fixture(scope="module", params=EACH)
def before_backends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """Return each balancer as it is shipped, with stand-ins behind it."""
    with in_front(request.param, tmp_path_factory.mktemp("lb")) as backends:
        yield backends


@pytest.fixture(scope="module", params=EACH)
def with_demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backends]:
    """Return each balancer with the demo switched on, with stand-ins behind it."""
    with in_front(request.param, tmp_path_factory.mktemp("lb"), demo="1") as backends:
        yield backends


@pytest.mark.parametrize("path", FOR_EDGES)
def test_subscribers_reach_the_edges(before_backends: Backends, path: str) -> None:
    """Every path of a subscriber is an edge's."""
    balancer, edge, _ = before_backends
    assert ask("127.0.0.1", balancer.port, f"{path}?id=a%20b&since=1-2").text == "ok\n"
    assert edge.requests[-1][0] == f"GET {path}?id=a%20b&since=1-2"


@pytest.mark.parametrize("path", FOR_THE_PUBLISHER)
def test_pages_come_from_the_publisher(before_backends: Backends, path: str) -> None:
    """The browser client and other files are the publisher's."""
    balancer, _, publisher = before_backends
    assert ask("127.0.0.1", balancer.port, path).text == "ok\n"
    assert publisher.requests[-1][0] == f"GET {path}"


@pytest.mark.parametrize("path", FOR_THE_DEMO + FOR_THE_PUBLISHER)
def test_the_demo_comes_from_the_publisher_where_it_is_on(with_demo: Backends, path: str) -> None:
    """With LB_DEMO=1, or nginx's include, its pages and what they need are public, too."""
    balancer, _, publisher = with_demo
    assert ask("127.0.0.1", balancer.port, path, "POST" if path == "/demo/pub" else "GET").text == "ok\n"
    assert publisher.requests[-1][0].endswith(f" {path}")


@pytest.mark.parametrize("target", FOR_THE_DEMO + FOR_NO_SERVICE + WALKS)
def test_nothing_else_is_public(before_backends: Backends, target: str) -> None:
    """No other path, however it is written, reaches a service; nor does the demo, which is off by default."""
    assert_reaches_nobody(before_backends, target)


@pytest.mark.parametrize("target", FOR_NO_SERVICE + WALKS)
def test_the_demo_opens_nothing_but_itself(with_demo: Backends, target: str) -> None:
    """No path leads out of it."""
    assert_reaches_nobody(with_demo, target)


@pytest.mark.parametrize("kind", EACH[1:])  # nginx has an include, and no environment
def test_only_1_turns_the_demo_on(kind: type[Balancer], tmp_path: Path) -> None:
    """LB_DEMO=0 does not."""
    with in_front(kind, tmp_path, demo="0") as backends:
        for path in FOR_THE_DEMO:
            assert_reaches_nobody(backends, path)


def assert_reaches_nobody(backends: Backends, target: str) -> None:
    """Check that the balancer answers itself."""
    balancer, edge, publisher = backends
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


def test_the_clients_real_address_is_passed_on(before_backends: Backends) -> None:
    """What a client says about itself is replaced, not believed."""
    balancer, edge, _ = before_backends
    spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    ask("127.0.0.1", balancer.port, "/sub?id=1", **spoofed)
    headers = edge.requests[-1][1]
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")


def test_other_upgrades_are_not_passed_on(before_backends: Backends) -> None:
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
