"""Which pages may give orders, by what a browser says of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.browsers.orders import Orders, is_own
from common.browsers.origins import OriginList
from common.errors import RequestError

HOST, HOME, EVIL = "127.0.0.1:8081", "https://app.example", "https://evil.example"
OWN = f"http://{HOST}"
SITES = ["", "cross-site", "same-site", "same-origin", "none", "future-site", "Cross-Site"]
ORIGINS = ["", "null", OWN, HOME, EVIL, "http://127.0.0.1:3000", "http://127.0.0.1", "nonsense"]


def is_refused(site: str, origin: str, *allowed: str, host: str = HOST) -> bool:
    """Say whether an order is refused; a header that is empty is not sent."""
    named = {"host": host, "sec-fetch-site": site, "origin": origin}
    try:
        Orders(OriginList(allowed)).check({name: value for name, value in named.items() if value})
    except RequestError as error:
        return error.status == 403
    return False


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("allowed", [(), (HOME,)])
def test_the_rule(site: str, origin: str, allowed: tuple[str, ...]) -> None:
    """A page of another site never; else one of another host, unless its origin is on the list."""
    foreign = site not in {"same-origin", "none"} and origin not in {"", OWN, *allowed}
    assert is_refused(site, origin, *allowed) == (site == "cross-site" or foreign)


@given(st.text(), st.text(), st.text())
def test_who_is_no_browser_is_not_refused(host: str, agent: str, referer: str) -> None:
    """Without both headers nothing else matters."""
    Orders(OriginList()).check({"host": host, "user-agent": agent, "referer": referer})


@given(st.text().filter(lambda text: "://" not in text), st.text())
def test_no_text_of_an_origin_is_our_own(origin: str, host: str) -> None:
    """Without a scheme it is none."""
    assert not is_own(origin, host)
    assert is_refused("", origin) == (origin != "")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8081", "LocalHost:8081"),
        ("https://push.example", "push.example"),
        ("https://push.example", "push.example:443"),
        ("http://push.example", "push.example.:80"),
        ("https://push.example:8443", "push.example"),
        ("http://[::1]:8081", "[::1]:8081"),
    ],
)
def test_a_page_of_the_same_host_is_our_own(origin: str, host: str) -> None:
    """Default ports are written or not, and a proxy may leave out any port."""
    assert is_own(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:3000", "localhost:8081"),
        ("http://localhost", "localhost:8081"),
        ("http://localhost:8081", "127.0.0.1:8081"),
        ("http://localhost:8081", ""),
        ("null", "null"),
        ("http://a.push.example", "push.example"),
        ("http://push.example@evil.example", "evil.example"),
    ],
)
def test_a_page_of_another_host_or_port_is_foreign(origin: str, host: str) -> None:
    """Another port is another program."""
    assert not is_own(origin, host)


@pytest.mark.parametrize("site", ["cross-site", ""])
@pytest.mark.parametrize("origin", ["http://\udcff", "\x00", "é" * 200])
def test_whatever_is_sent_can_be_said(site: str, origin: str) -> None:
    """Bytes that are no text come as half characters, which no answer can hold."""
    with pytest.raises(RequestError) as caught:
        Orders(OriginList()).check({"host": HOST, "sec-fetch-site": site, "origin": origin})
    assert caught.value.sentence.isascii()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_the_answer_names_the_page(site: str) -> None:
    """Cut, since it is of the client's choice."""
    headers = {"host": HOST, "sec-fetch-site": site, "origin": EVIL + "x" * 1000}
    with pytest.raises(RequestError, match=r"https://evil\.examplex+ may not change anything here") as caught:
        Orders(OriginList()).check(headers)
    assert len(caught.value.sentence) < 350
