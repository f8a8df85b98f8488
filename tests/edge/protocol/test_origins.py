"""Which pages are let in: by the Origin that they send, and, where tags send none, by what else a browser tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RequestError
from edge.protocol.origins import Origins
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.http_client import head

HOME, EVIL, EDGE = "https://app.example", "https://evil.example", "edge.example"
GUARDED = Origins((HOME, "http://localhost:8000"))
POLL = "/poll?id=room"


def headers(site: str = "", referer: str = "", origin: str = "") -> dict[str, str]:
    """Return the headers of a request to the edge; empty ones are not sent."""
    named = {"host": EDGE, "sec-fetch-site": site, "referer": referer, "origin": origin}
    return {name: value for name, value in named.items() if value}


@pytest.mark.parametrize("transport", ["jsonp", "iframe"])
@pytest.mark.parametrize(
    ("site", "referer"),
    [
        ("cross-site", f"{HOME}/"),
        ("cross-site", HOME),
        ("same-site", f"{HOME}/page?x=https://evil.example/"),
        ("cross-site", "http://localhost:8000/page"),
        ("same-origin", ""),
        ("same-origin", f"https://{EDGE}/page"),
        ("none", ""),
        ("", f"{HOME}/page"),
        ("", f"https://{EDGE}/page"),
        ("", f"http://{EDGE}/"),
    ],
)
def test_pages_on_the_list_and_our_own_may_embed(transport: str, site: str, referer: str) -> None:
    """By Sec-Fetch-Site where the page is the edge's own, by Referer else."""
    GUARDED.admit_page(transport, headers(site, referer))


@pytest.mark.parametrize("transport", ["jsonp", "iframe"])
@pytest.mark.parametrize(
    ("site", "referer"),
    [
        ("cross-site", f"{EVIL}/"),
        ("same-site", f"{EVIL}/"),
        ("", f"{EVIL}/"),
        ("cross-site", f"https://{EDGE}/"),
        ("cross-site", ""),
        ("same-site", ""),
        ("future-site", ""),
        ("", f"{HOME}.evil.example/"),
        ("", f"{HOME}:8443/"),
        ("", f"{HOME}@evil.example/"),
        ("", "http://app.example/"),
        ("", f"{EVIL}/{HOME}/"),
        ("", f"https://{EDGE}:8443/"),
    ],
)
def test_foreign_pages_may_not_embed(transport: str, site: str, referer: str) -> None:
    """One that a browser calls foreign must be on the list, and one that hides from where it is must not hide."""
    with pytest.raises(RequestError) as caught:
        GUARDED.admit_page(transport, headers(site, referer))
    assert caught.value.status == 403
    assert caught.value.sentence.startswith(f"{transport}: ")
    assert "COMET_ALLOWED_ORIGINS" in caught.value.sentence


@pytest.mark.parametrize("referer", ["", "nonsense", "https://", "://", "/page"])
def test_a_page_that_tells_nothing_gets_a_frame_and_no_script(referer: str) -> None:
    """A browser itself keeps a frame from foreign pages, but it runs every script."""
    GUARDED.admit_page("iframe", headers(referer=referer))
    with pytest.raises(RequestError, match="Referer"):
        GUARDED.admit_page("jsonp", headers(referer=referer))


@pytest.mark.parametrize("transport", ["jsonp", "iframe"])
@pytest.mark.parametrize("origins", [Origins(()), GUARDED])
@pytest.mark.parametrize("site", ["same-origin", "none", "cross-site"])
def test_neither_is_a_page_of_its_own(transport: str, origins: Origins, site: str) -> None:
    """With and without a list, whoever opens it: its parent would be itself, of this server's origin."""
    with pytest.raises(RequestError, match=f"^{transport}: ") as caught:
        origins.admit_page(transport, headers(site, f"{HOME}/") | {"sec-fetch-dest": "document"})
    assert caught.value.status == 403


@pytest.mark.parametrize("transport", ["stream", "sse", "poll", "ws"])
def test_other_transports_are_judged_by_origin_alone(transport: str) -> None:
    """No tag can read what they send; a script that can sends its Origin."""
    GUARDED.admit_page(transport, headers("cross-site", f"{EVIL}/") | {"sec-fetch-dest": "document"})


def test_an_origin_that_was_admitted_needs_no_referer() -> None:
    """A script tag with `crossorigin` sends one."""
    GUARDED.admit_page("jsonp", headers("cross-site", "", HOME))


@given(st.sampled_from(["jsonp", "iframe", "sse"]), st.text(), st.text())
def test_without_a_list_every_page_is_admitted(transport: str, site: str, referer: str) -> None:
    """Nothing that is sent matters then."""
    Origins(()).admit_page(transport, headers(site, referer))


@given(st.sampled_from(["", "cross-site", "same-site", "same-origins"]), st.text())
def test_no_referer_but_that_of_an_allowed_page_is_admitted(site: str, referer: str) -> None:
    """Whatever text stands there."""
    with pytest.raises(RequestError):
        GUARDED.admit_page("jsonp", headers(site, referer))


# On real connections.


async def test_a_second_origin_is_no_way_around_the_list() -> None:
    """With two that differ a page is not let in, whichever stands first; the same twice is one."""
    async with edge_without_redis(allowed_origins=("https://a.example",)) as edge:
        good, bad = "Origin: https://a.example", "Origin: https://b.example"
        asked = [(good, bad), (bad, good), (good, good)]
        replies = [await (await edge.connect()).ask(head(POLL + "&timeout=0", *lines)) for lines in asked]
        assert [answer.status for answer in replies] == [400, 400, 200]
        assert replies[0].json["content"].startswith("Origin: ")


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_a_foreign_origin_is_refused(method: str) -> None:
    """With an allow-list a page from elsewhere gets a 403 that it may not even read."""
    async with edge_without_redis(allowed_origins=("https://a.example",)) as edge:
        client = await edge.connect()
        answer = await client.ask(head(POLL, "Origin: https://b.example", method=method))
        assert answer.status == 403
        assert "https://b.example" in answer.json["content"]
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("target", [POLL + "&timeout=0", "/nowhere"])
async def test_a_known_origin_is_named(target: str) -> None:
    """An allowed page is named in the answer, errors included, and caches are told that it matters."""
    async with edge_without_redis(allowed_origins=("https://a.example", "https://c.example")) as edge:
        client = await edge.connect()
        answer = await client.ask(head(target, "Origin: https://c.example"))
        assert answer.headers["access-control-allow-origin"] == "https://c.example"
        assert answer.headers["vary"] == "origin"


async def test_a_client_without_an_origin_is_no_browser() -> None:
    """An allow-list is for pages; curl sends no origin and is let in."""
    async with edge_without_redis(allowed_origins=("https://a.example",)) as edge:
        client = await edge.connect()
        answer = await client.ask(head(POLL + "&timeout=0"))
        assert answer.status == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("target", ["/jsonp?callback=f&", "/iframe?", "/sub?callback=f&", "/sub?transport=iframe&"])
async def test_a_pop_up_is_refused_on_the_wire(target: str) -> None:
    """Also where all origins may subscribe; a script and a frame get their answers on the same connection."""
    async with edge_without_redis() as edge:
        client = await edge.connect()
        asked = f"{target}id=room&timeout=0"
        refused = await client.ask(head(asked, "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site"))
        assert (refused.status, refused.headers["content-type"]) == (403, "application/json")
        assert refused.headers["cross-origin-opener-policy"] == "same-origin"
        assert refused.headers["x-content-type-options"] == "nosniff"
        await client.send(head(asked, "Sec-Fetch-Dest: script", "Sec-Fetch-Site: cross-site"))
        assert b"HTTP/1.1 200 OK" in await client.until(b"\r\n\r\n")


async def test_a_script_of_a_foreign_page_is_refused_on_the_wire() -> None:
    """It gets a 403, which no script tag runs, and the connection is good for the next request."""
    async with edge_without_redis(allowed_origins=(HOME,)) as edge:
        client = await edge.connect()
        target = "/jsonp?id=room&callback=f&timeout=0"
        refused = await client.ask(head(target, "Sec-Fetch-Site: cross-site", f"Referer: {EVIL}/"))
        assert (refused.status, refused.headers["content-type"]) == (403, "application/json")
        assert "access-control-allow-origin" not in refused.headers
        admitted = await client.ask(head(target, "Sec-Fetch-Site: cross-site", f"Referer: {HOME}/"))
        assert (admitted.status, admitted.body[:6]) == (200, b"/**/f(")
