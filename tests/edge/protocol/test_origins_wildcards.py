"""Origins below a domain: `https://*.example.com` on the list admits their pages on every transport, and no others."""

import pytest

from common.errors import RequestError
from edge.protocol.origins import Origins
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.http_client import head

GUARDED = Origins(("https://*.example.com", "http://*.corp:8080", "https://one.example"))


@pytest.mark.parametrize(
    "origin",
    ["https://app.example.com", "https://a.b-c.d_e.example.com", "http://x.corp:8080", "https://one.example"],
)
def test_a_name_below_the_domain_is_admitted(origin: str) -> None:
    """By its Origin, and by the Referer of a script tag or a frame."""
    assert GUARDED.admit(origin) == origin
    GUARDED.admit_page("jsonp", {"sec-fetch-site": "cross-site", "referer": f"{origin}/page"})
    GUARDED.admit_page("iframe", {"referer": f"{origin}/"})


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "https://.example.com",
        "https://a..example.com",
        "https://evilexample.com",
        "https://app.example.com.evil.example",
        "https://app.example.com:8443",
        "http://app.example.com",
        "https://evil.example/.example.com",
        "https://evil.example#.example.com",
        "https://evil@app.example.com",
        "https://appXexample.com",
        "https://*.example.com",
        "http://x.corp",
        "https://two.one.example",
        "https://app.example.com\n",
    ],
)
def test_no_other_name_is_admitted(origin: str) -> None:
    """The domain itself, another port, another scheme, and what only looks alike."""
    with pytest.raises(RequestError, match="COMET_ALLOWED_ORIGINS"):
        GUARDED.admit(origin)


def test_a_frames_policy_names_the_wildcard_as_it_is() -> None:
    """A policy's source list has the same form and the same meaning (CSP 3, section 6.7.2.8)."""
    assert GUARDED.ancestors == "'self' https://*.example.com http://*.corp:8080 https://one.example"


async def test_a_page_below_the_domain_is_let_in_on_the_wire() -> None:
    """It got 403, although the list seemed to name it."""
    async with edge_without_redis(allowed_origins=("https://*.example.com",)) as edge:
        client = await edge.connect()
        admitted = await client.ask(head("/poll?id=room&timeout=0", "Origin: https://app.example.com"))
        assert (admitted.status, admitted.headers["access-control-allow-origin"]) == (200, "https://app.example.com")
        refused = await client.ask(head("/poll?id=room&timeout=0", "Origin: https://example.com"))
        assert refused.status == 403
