"""Which token a request carries."""

import pytest

from common.errors import BadRequestError
from edge.protocol.origins import Origins
from edge.tokens.credentials import Credentials
from tests.edge.http_client import get

PAGE = "https://app.example"
WITHOUT_COOKIE, WITH_COOKIE = Credentials(Origins(())), Credentials(Origins((PAGE,)), "comet")
IN_COOKIE = {"cookie": "theme=dark; comet=from-cookie"}


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        ("id=a", {}, ""),
        ("id=a&token=abc", {}, "abc"),
        ("token=", {}, ""),
        ("%74oken=a%2Eb", {}, "a.b"),
        ("id=token&tokens=x&mytoken=y", {}, ""),
        ("id=a", {"authorization": "Bearer abc"}, "abc"),
        ("id=a", {"authorization": "bEaReR   abc"}, "abc"),
        ("id=a", {"authorization": "Basic abc"}, ""),
        ("token=abc", {"authorization": "Basic xyz"}, "abc"),
        ("token=abc", {"authorization": "Bearer xyz"}, "xyz"),
        ("token=abc", {"authorization": "Bearer xyz"} | IN_COOKIE, "xyz"),
        ("token=abc", IN_COOKIE, "abc"),
        ("token=", IN_COOKIE, "from-cookie"),
        ("id=a", IN_COOKIE, "from-cookie"),
        ("id=a", {"cookie": 'comet="quoted"; comet=second'}, "quoted"),
        ("id=a", {"cookie": "xcomet=a; comet2=b; comet"}, ""),
    ],
)
def test_a_header_wins_over_the_query_and_the_query_over_the_cookie(
    query: str, headers: dict[str, str], token: str
) -> None:
    """Names are whole names, however they are written."""
    assert WITH_COOKIE.of_subscriber(get("/sub", query, **headers), "stream") == token


def test_without_a_name_no_cookie_counts() -> None:
    """An edge looks at no cookie unless it is told to."""
    assert WITHOUT_COOKIE.of_subscriber(get("/sub", "id=a", **IN_COOKIE), "stream") == ""
    assert WITHOUT_COOKIE.of_change(get("/sub/x", "", origin=PAGE, **IN_COOKIE)) == ""


@pytest.mark.parametrize("query", ["token=a&token=b", "token=a&id=x&token=a", "token=&token=a", "token=a&%74oken=b"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer xyz"}])
def test_two_tokens_in_a_query_are_one_too_many(query: str, headers: dict[str, str]) -> None:
    """What a proxy has looked at may be the other one."""
    with pytest.raises(BadRequestError, match="token: give one"):
        WITH_COOKIE.of_subscriber(get("/sub", query, **headers), "sse")
    with pytest.raises(BadRequestError, match="token: give one"):
        WITH_COOKIE.of_change(get("/sub/x", query, **headers))


@pytest.mark.parametrize("transport", ["jsonp", "iframe"])
@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ({}, False),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"sec_fetch_site": "cross-site", "referer": "https://evil.example/"}, False),
        ({"sec_fetch_site": "cross-site", "referer": f"{PAGE}/page?x=1"}, True),
        ({"referer": f"{PAGE}/"}, True),
        ({"referer": f"{PAGE}.evil.example/"}, False),
        ({"referer": "http://edge/", "host": "edge"}, False),
        ({"origin": PAGE}, False),
    ],
)
def test_a_cookie_of_a_script_tag_or_a_frame_counts_only_for_a_known_page(
    transport: str, headers: dict[str, str], counts: bool
) -> None:
    """Any page may make such a tag, and the browser sends the cookie with it."""
    request = get("/sub", "id=a", **headers, **IN_COOKIE)
    assert WITH_COOKIE.of_subscriber(request, transport) == ("from-cookie" if counts else "")


def test_a_cookie_of_a_websocket_or_a_post_needs_an_origin() -> None:
    """It is checked against the list before; a request without one is not known to be of an allowed page."""
    for origin, token in (({}, ""), ({"origin": PAGE}, "from-cookie")):
        assert WITH_COOKIE.of_subscriber(get("/ws", "id=a", **origin, **IN_COOKIE), "ws") == token
        assert WITH_COOKIE.of_change(get("/sub/x", "", **origin, **IN_COOKIE)) == token


@pytest.mark.parametrize("transport", ["stream", "sse", "poll"])
@pytest.mark.parametrize(
    ("headers", "counts"),
    [
        ({}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": PAGE}, True),
    ],
)
def test_a_cookie_of_another_get_does_not_count_for_a_foreign_page(
    transport: str, headers: dict[str, str], counts: bool
) -> None:
    """It cannot read the answer, but holds a subscriber of this user, and may know its session; an Origin is checked.

    Browsers send no Origin for the GET of a page of the same origin.
    """
    request = get("/sub", "id=a", **headers, **IN_COOKIE)
    assert WITH_COOKIE.of_subscriber(request, transport) == ("from-cookie" if counts else "")


def test_what_is_named_on_purpose_needs_no_origin() -> None:
    """A browser does not send it by itself."""
    assert WITH_COOKIE.of_change(get("/sub/x", "token=abc")) == "abc"
    assert WITH_COOKIE.of_subscriber(get("/ws", "id=a", authorization="Bearer abc"), "ws") == "abc"
    assert WITH_COOKIE.of_subscriber(get("/jsonp", "id=a&token=abc"), "jsonp") == "abc"
