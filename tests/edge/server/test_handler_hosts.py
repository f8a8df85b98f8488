"""Under which names subscribers may ask: all, unless COMET_HOSTS names some."""

import pytest

from tests.edge.change_requests import posted, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis

POLL = "/poll?id=room&timeout=0"


def head(target: str, host: str, *, method: str = "GET", version: str = "1.1") -> bytes:
    """Return a request head with this Host; without a line of it if that is empty."""
    named = f"Host: {host}\r\n" if host else ""
    return f"{method} {target} HTTP/{version}\r\n{named}\r\n".encode()


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8080", "[evil]"])
async def test_without_a_setting_every_name_is_good(edge: EdgeWithoutRedis, host: str) -> None:
    """Load balancers pass whatever name their site has."""
    client = await edge.connect()
    assert (await client.ask(head(POLL, "evil.test"))).status == 200


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize("host", ["evil.test", "evil.test:8080", "example.com", "127.0.0.1.evil.test"])
async def test_with_it_other_names_are_misdirected(method: str, host: str) -> None:
    """Each request is answered and counted, and the connection is good for the next."""
    async with edge_without_redis(hosts=("push.example.com",)) as edge:
        client = await edge.connect()
        answer = await client.ask(head(POLL, host, method=method))
        assert (answer.status, "COMET_HOSTS" in answer.json["content"]) == (421, True)
        assert edge.counters.refused_total[421] == 1
        assert (await client.ask(head(POLL, "push.example.com"))).status == 200


@pytest.mark.parametrize(
    "host", ["push.example.com:443", "127.0.0.1:8080", "[::1]", "localhost", "edge-1", "edge.a.svc"]
)
async def test_addresses_and_names_of_the_network_are_good_all_the_same(host: str) -> None:
    """For probes and balancers that ask by them."""
    async with edge_without_redis(hosts=("push.example.com",)) as edge:
        assert (await (await edge.connect()).ask(head(POLL, host))).status == 200


async def test_a_request_without_a_host_is_no_browser_s() -> None:
    """HTTP/1.0 needs none."""
    async with edge_without_redis(hosts=("push.example.com",)) as edge:
        assert (await (await edge.connect()).ask(head(POLL, "", version="1.0"))).status == 200


async def test_without_a_list_a_page_of_any_origin_changes_its_channels(edge: EdgeWithoutRedis) -> None:
    """The session is the secret: the page that holds the connection knows it."""
    client = await edge.connect()
    foreign = ("Origin: https://b.example", "Sec-Fetch-Site: cross-site")
    answer = await client.ask(posted("unknown", sub("b"), *foreign))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (404, "*")
