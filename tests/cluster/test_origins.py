"""COMET_ALLOWED_ORIGINS on an edge process: written in whatever way, it is compared as browsers write origins."""

from collections.abc import Iterator

import pytest

from tests.cluster.clients import Answer, exchange
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running

pytestmark = pytest.mark.system

GIVEN = "https://APP.example:443, http://Plain.example:80/, https://*.Example.com, https://münchen.example, null"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return an edge with a list of origins."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a", COMET_ALLOWED_ORIGINS=GIVEN)) as cluster:
        yield cluster.a


def polled(edge: Service, origin: str, method: str = "GET") -> Answer:
    """Poll as a page of an origin does, or ask whether it may."""
    head = f"{method} /poll?id=room&timeout=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\r\n"
    return exchange(edge.port, head.encode(), method)[0]


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://plain.example",
        "https://shop.example.com",
        "https://a.b.example.com",
        "https://xn--mnchen-3ya.example",
        "null",
    ],
)
def test_a_page_on_the_list_may_poll_with_its_cookies(edge: Service, origin: str) -> None:
    """The answer names its origin and allows credentials, and so does the preflight."""
    for method, status in {"GET": 200, "OPTIONS": 204}.items():
        answer = polled(edge, origin, method)
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin",
    [
        "http://app.example",
        "https://app.example:8443",
        "https://example.com",
        "https://shop.example.com.evil.example",
        "https://evil-example.com",
        "http://shop.example.com",
        "https://plain.example",
    ],
)
def test_any_other_page_is_refused(edge: Service, origin: str) -> None:
    """And cannot read the answer."""
    answer = polled(edge, origin)
    assert (answer.status, "COMET_ALLOWED_ORIGINS" in answer.json["content"]) == (403, True)
    assert "access-control-allow-origin" not in answer.headers


def test_who_sends_no_origin_is_no_page(edge: Service) -> None:
    """A backend, or a program, is not refused."""
    answer, _ = exchange(edge.port, b"GET /poll?id=room&timeout=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 200
