"""Orders as browsers send them for pages of other origins, and for pages whose name leads here: on real processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.clients import Answer, StreamClient, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

KEY = "a-key-of-16-chars"
HOME, EVIL = "https://app.example", "https://evil.example"
FOREIGN = 'comet_foreign_requests_total{code="%d"}'
FOREIGN_PAGES = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
    {"Origin": EVIL},
    {"Origin": "null"},
]
REBOUND = {"Host": "evil.test", "Origin": "http://evil.test", "Sec-Fetch-Site": "same-origin"}
TO_PUBLISHER = [
    ("GET", "/pub?id=room&content=evil"),
    ("POST", "/pub?id=room&content=evil"),
    ("POST", "/broadcast?content=evil"),
    ("POST", "/close?id=room"),
]


class Deployment(NamedTuple):
    """A cluster, and the header that its publisher wants."""

    cluster: Cluster
    authorization: dict[str, str]

    def ask(self, port: int, method: str, target: str, **headers: str) -> Answer:
        """Send a request without a body, with exactly these headers and those for the key and the end."""
        named = {"Host": f"127.0.0.1:{port}", "Connection": "close"} | self.authorization | headers
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
        body = "Content-Length: 0\r\n" if method == "POST" else ""
        return exchange(port, f"{method} {target} HTTP/1.1\r\n{lines}{body}\r\n".encode())[0]


@pytest.fixture(scope="module", params=["", KEY], ids=["no key", "with a key"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Yield deployments with and without a key."""
    settings = {"COMET_ALLOWED_ORIGINS": HOME} | ({"COMET_PUBLISH_KEYS": KEY} if request.param else {})
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", **settings)) as cluster:
        yield Deployment(cluster, {"Authorization": f"Bearer {KEY}"} if request.param else {})


def test_no_order_of_a_foreign_page_is_obeyed(deployment: Deployment) -> None:
    """A subscriber hears nothing and stays; each order is counted."""
    publisher = deployment.cluster.publisher
    before = publisher.metric(FOREIGN % 403)
    with StreamClient(deployment.cluster.a.port, "room") as client:
        for headers in FOREIGN_PAGES:
            for method, target in TO_PUBLISHER:
                answer = deployment.ask(publisher.port, method, target, **headers)
                assert (answer.status, answer.json["code"]) == (403, 403)
        assert deployment.ask(publisher.port, "POST", "/pub?id=room&content=ours").text == "ok\n"
        assert client.receive() == "ours"
    assert publisher.metric(FOREIGN % 403) == before + len(FOREIGN_PAGES) * len(TO_PUBLISHER)


@pytest.mark.parametrize("headers", [*FOREIGN_PAGES, REBOUND])
def test_no_page_drains_a_process(deployment: Deployment, headers: dict[str, str]) -> None:
    """The internal ports of both refuse it, where keys are set, too."""
    status = 421 if headers is REBOUND else 403
    for service in deployment.cluster.services:
        before = service.metric(FOREIGN % status)
        assert deployment.ask(service.admin_port, "POST", "/drain", **headers).status == status
        assert service.metric(FOREIGN % status) == before + 1
        assert service.ready
        assert service.metric("comet_draining") == 0


def test_under_another_name_a_page_reads_nothing_of_a_publisher(deployment: Deployment) -> None:
    """Without keys its API is not there; with them a page has none. Health and metrics are there under any name."""
    publisher = deployment.cluster.publisher
    headers = REBOUND | {"Authorization": ""}
    for target in ("/info", "/admin/edges", "/pub?id=room&content=evil"):
        answer = deployment.ask(publisher.port, "GET", target, **headers)
        assert answer.status == (401 if deployment.authorization else 421)
    for service in deployment.cluster.services:
        for target in ("/healthz", "/readyz", "/metrics"):
            assert deployment.ask(service.admin_port, "GET", target, **headers).status == 200


def test_an_own_page_and_one_on_the_list_are_obeyed(deployment: Deployment) -> None:
    """By the address of the publisher, or a name of this machine."""
    port = deployment.cluster.publisher.port
    pages = [
        {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Origin": f"http://localhost:{port}", "Host": f"localhost:{port}"},
        {"Origin": HOME, "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {},
    ]
    for headers in pages:
        assert deployment.ask(port, "POST", "/close?id=nobody", **headers).status == 200


def test_an_edge_looks_at_its_name_only_if_it_has_one(deployment: Deployment, tmp_path: Path) -> None:
    """It serves under any; with COMET_HOSTS under those, by its address, and within its network."""
    edge, target = deployment.cluster.a, "/poll?id=room&timeout=0"
    assert deployment.ask(edge.port, "GET", target, Host="evil.test").status == 200
    named = Service("edge", "edge-named", deployment.cluster.valkey.url, {"COMET_HOSTS": "push.example.com"}, tmp_path)
    named.start()
    try:
        until(lambda: named.ready)
        for host in ("push.example.com", "127.0.0.1", "edge-1:8080"):
            assert deployment.ask(named.port, "GET", target, Host=host).status == 200
        assert deployment.ask(named.port, "GET", target, Host="evil.test").status == 421
        assert named.metric('comet_requests_refused_total{code="421"}') == 1
    finally:
        named.stop()
