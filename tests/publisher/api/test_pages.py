"""The pages, over a real socket, and what they say about the edges."""

import re

import pytest

from publisher.api.pages import STATIC, browser_edges, content_security_policy
from tests.publisher.conftest import Client

TWO = ("http://127.0.0.1:8080", "http://127.0.0.1:8090")


@pytest.mark.parametrize("path", ["/", "/chat", "/admin"])
async def test_a_page_is_html_that_runs_nothing_inline(client: Client, path: str) -> None:
    """A page is HTML with a policy without `unsafe`, has no script or style of its own, and loads only our files."""
    answer, text = await client.request("GET", path)
    policy = answer.headers["Content-Security-Policy"]
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text)
    sources = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert all(source.startswith("/") for source in sources)
    for source in sources:
        linked, _ = await client.request("GET", source)
        assert linked.status == 200, source


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.iterdir()))
async def test_every_file_is_served_and_not_sent_twice(client: Client, name: str) -> None:
    """A file has a type and an ETag, and a browser that has it gets 304 without a body."""
    answer, _ = await client.request("GET", f"/static/{name}")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again, text = await client.request("GET", f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, text) == (304, "")


@pytest.mark.parametrize(
    "path", ["/static/", "/static/none.js", "/static/..%2fpages.py", "/static/%2e%2e/pages.py", "/index.html"]
)
async def test_what_is_not_a_page_is_a_404(client: Client, path: str) -> None:
    """Only the files of the folder are served; nothing leads out of it."""
    answer, text = await client.request("GET", path)
    assert (answer.status, answer.content_type) == (404, "application/json")
    assert '"code":404' in text


async def test_the_configuration_names_the_edges(client: Client) -> None:
    """A page learns the edges' addresses under the name by which it was opened."""
    answer, text = await client.request("GET", "/demo/config.json", headers={"Host": "box.example:8081"})
    assert (answer.status, text) == (200, '{"edges":["http://box.example:8080"],"publisher":""}\n')


@pytest.mark.parametrize(
    ("host", "edges"),
    [
        ("127.0.0.1:8081", ["http://127.0.0.1:8080", "http://127.0.0.1:8090"]),
        ("localhost:8081", ["http://localhost:8080", "http://localhost:8090"]),
        ("[::1]:8081", ["http://[::1]:8080", "http://[::1]:8090"]),
        ("x;script-src *", ["http://127.0.0.1:8080", "http://127.0.0.1:8090"]),
        ("", ["http://127.0.0.1:8080", "http://127.0.0.1:8090"]),
    ],
)
def test_loopback_follows_the_name_of_the_page(host: str, edges: list[str]) -> None:
    """An edge on 127.0.0.1 has the page's host name; a Host header that is none changes nothing."""
    assert browser_edges(TWO, host) == edges


def test_other_addresses_are_left_alone() -> None:
    """The page's own origin stays `/`, and a real name stays itself."""
    assert browser_edges(("/", "https://push.example/comet"), "app.example") == ["/", "https://push.example/comet"]


def test_the_policy_names_the_edges_by_every_scheme() -> None:
    """Fetches, WebSockets and JSONP's scripts may go to the edges; to the page's own origin by WebSocket, too."""
    policy = content_security_policy(("/", "https://push.example/comet"), "app.example")
    assert "script-src 'self' https://push.example;" in policy
    assert "connect-src 'self' https://push.example wss://push.example ws://app.example wss://app.example;" in policy


def test_a_host_header_cannot_write_the_policy() -> None:
    """What is not a host name is left out."""
    assert "evil" not in content_security_policy(("/", *TWO), "a; script-src evil.example")


async def test_the_operators_page_speaks_with_the_publisher_only(client: Client) -> None:
    """Its policy names no edge."""
    answer, _ = await client.request("GET", "/admin")
    assert "connect-src 'self';" in answer.headers["Content-Security-Policy"]
    assert "http" not in answer.headers["Content-Security-Policy"]
