"""Pages of other origins than the edges: let in by every transport, or kept out by COMET_ALLOWED_ORIGINS."""

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

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # Chromium, on a machine that does ten other things

REFUSED = re.compile(r"CORS policy|response code: 403|status of 403")
# Subscribes by what the browser offers, and says whether that was possible.
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
  } else fetch(address + "&timeout=0").then(yes, no);
})"""


class Guarded(NamedTuple):
    """An edge, and two origins of which it admits one."""

    edge: Service
    home: str
    foreign: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Yield an edge that admits the pages of one origin only; every name below localhost is this machine."""
    folder = tmp_path_factory.mktemp("guarded")
    cluster = Cluster(folder, edges="")
    home, foreign = (f"http://{name}.localhost:{cluster.publisher.port}" for name in ("home", "foreign"))
    edge = Service("edge", "edge", cluster.valkey.url, {"COMET_ALLOWED_ORIGINS": home}, folder)
    cluster.edges, cluster.services = [edge], (edge, cluster.publisher)
    with running(cluster):
        yield Guarded(edge, home, foreign)


def test_jsonp_crosses_origins(site: Site, open_tab: Callable[..., Tab]) -> None:
    """A page of another host and port hears by script tags, and outlives the edge that serves it."""
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


@pytest.mark.parametrize("transport", ["ws", "sse", "stream", "poll"])
def test_foreign_origins_are_kept_out(guarded: Guarded, open_tab: Callable[..., Tab], transport: str) -> None:
    """With a list of origins a page of another one is refused, and the page of the one named is not."""
    home, foreign = (open_tab(origin + BLANK) for origin in (guarded.home, guarded.foreign))
    assert home.page.evaluate(TRY, [guarded.edge.url, transport]) == "open"
    assert foreign.page.evaluate(TRY, [guarded.edge.url, transport]) == "refused"
    until(lambda: any(REFUSED.search(error) for error in foreign.errors))
    foreign.forgive(REFUSED)
    foreign.forgive_lost_connections()
