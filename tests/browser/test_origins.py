"""Pages of other origins than the edges: admitted on every transport, or refused by COMET_ALLOWED_ORIGINS."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import Site
from tests.browser.subscriber import BLANK, Subscriber
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

REFUSED = re.compile(r"CORS policy|response code: 403|status of 403")
COUNTED = 'comet_requests_refused_total{code="403"}'
APART = re.compile("Blocked a frame with origin")  # between pages of different origins
# Subscribes by one transport, and tells whether that was possible.
TRY = """([url, transport]) => new Promise((done) => {
  const address = `${url}/${transport}?id=room`;
  const [yes, no] = [() => done("open"), () => done("refused")];
  if (transport === "ws") {
    const socket = new WebSocket(address.replace("http", "ws"));
    [socket.onmessage, socket.onclose] = [yes, no];
  } else if (transport === "sse") {
    const source = new EventSource(address);
    source.addEventListener("welcome", yes);
    source.onerror = () => source.readyState === EventSource.CLOSED && no();
  } else if (transport === "jsonp") {
    globalThis.called = yes;
    const script = Object.assign(document.createElement("script"), { src: address + "&timeout=0&callback=called" });
    script.onload = script.onerror = no; // a call came before
    document.head.append(script);
  } else fetch(address + "&timeout=0").then(yes, no);
})"""
HIDE = "() => document.head.append(Object.assign(document.createElement('meta'), { name: 'referrer', content: '%s' }))"
# Puts an iframe into the page; the status of its answer tells whether it was admitted.
SHOW = "(url) => document.body.append(Object.assign(document.createElement('iframe'), { src: url }))"


class Guarded(NamedTuple):
    """An edge, and two origins of which it admits one."""

    edge: Service
    home: str
    foreign: str


def insecure(url: str) -> str:
    """Return a URL under a host name to which browsers send no Sec-Fetch-Site, as with plain HTTP elsewhere."""
    return url.replace("localhost", "test").replace("127.0.0.1", "edge.test")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Yield an edge that admits only the pages of one origin; every name below localhost is this machine."""
    folder = tmp_path_factory.mktemp("guarded")
    cluster = Cluster(folder, edges="")
    home, foreign = (f"http://{name}.localhost:{cluster.publisher.port}" for name in ("home", "foreign"))
    allowed = f"{home},{insecure(home)}"
    edge = Service("edge", "edge", cluster.valkey.url, {"COMET_ALLOWED_ORIGINS": allowed}, folder)
    cluster.edges, cluster.services = [edge], (edge, cluster.publisher)
    with running(cluster):
        yield Guarded(edge, home, foreign)


def test_jsonp_crosses_origins(site: Site, open_tab: Callable[..., Tab]) -> None:
    """A page of another host and port gets messages by script tags, and outlives the edge that serves it."""
    origin = f"http://elsewhere.localhost:{site.cluster.publisher.port}"
    page = Subscriber(open_tab(origin + BLANK), "jsonp", "foreign", edges=site.url)
    page.is_on("foreign")
    site.publish("foreign", "one")
    page.hears("foreign", "one")
    site.serving().kill()
    site.publish("foreign", "two")
    page.hears("foreign", "two")
    assert page.heard == [["foreign", "one"], ["foreign", "two"]]
    assert page.tab.page.evaluate("() => origin") == origin
    page.tab.forgive_lost_connections()


@pytest.mark.parametrize("transport", ["ws", "sse", "stream", "poll", "jsonp"])
def test_foreign_origins_are_refused(guarded: Guarded, open_tab: Callable[..., Tab], transport: str) -> None:
    """With a list of origins, a page of another origin is refused, and one of a listed origin is admitted."""
    home, foreign = (open_tab(origin + BLANK) for origin in (guarded.home, guarded.foreign))
    before = guarded.edge.metric(COUNTED)
    assert home.page.evaluate(TRY, [guarded.edge.url, transport]) == "open"
    assert foreign.page.evaluate(TRY, [guarded.edge.url, transport]) == "refused"
    until(lambda: guarded.edge.metric(COUNTED) == before + 1)
    foreign.forgive(REFUSED)
    foreign.forgive_lost_connections()


@pytest.mark.parametrize(("policy", "outcome"), [("no-referrer", "refused"), ("origin", "open")])
def test_jsonp_needs_a_referer(guarded: Guarded, open_tab: Callable[..., Tab], policy: str, outcome: str) -> None:
    """Even an allowed page is refused by JSONP if it hides its address, as any other page could do."""
    home = open_tab(guarded.home + BLANK)
    home.page.evaluate(HIDE % policy)
    assert home.page.evaluate(TRY, [guarded.edge.url, "jsonp"]) == outcome
    home.forgive(REFUSED)
    home.forgive_lost_connections()


@pytest.mark.parametrize(
    ("page_of", "policy", "outcome"),
    [
        ("home", "origin", "open"),
        ("foreign", "origin", "refused"),
        ("foreign", "unsafe-url", "refused"),
        ("foreign", "no-referrer", "refused"),
    ],
)
def test_plain_http_is_no_way_around_the_list(
    guarded: Guarded, open_tab: Callable[..., Tab], page_of: str, policy: str, outcome: str
) -> None:
    """Over plain HTTP browsers send only the Referer, if the page permits it."""
    tab = open_tab(insecure(getattr(guarded, page_of)) + BLANK)
    tab.page.evaluate(HIDE % policy)
    with tab.page.expect_request(re.compile("/jsonp")) as request:
        assert tab.page.evaluate(TRY, [insecure(guarded.edge.url), "jsonp"]) == outcome
    assert "sec-fetch-site" not in request.value.all_headers()
    tab.forgive(REFUSED)
    tab.forgive_lost_connections()


@pytest.mark.parametrize(("page_of", "status"), [("home", 200), ("foreign", 403)])
def test_a_frame_of_a_foreign_page_is_refused(
    guarded: Guarded, open_tab: Callable[..., Tab], page_of: str, status: int
) -> None:
    """The frame of a foreign page is refused before it holds a connection."""
    tab = open_tab(getattr(guarded, page_of) + BLANK)
    with tab.page.expect_response(re.compile("/iframe")) as response:
        tab.page.evaluate(SHOW, f"{guarded.edge.url}/iframe?id=room")
    assert response.value.status == status
    tab.forgive(APART)
    tab.forgive(REFUSED)
    tab.forgive_lost_connections()
