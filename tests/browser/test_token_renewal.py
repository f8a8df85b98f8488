"""A page whose tokens live for seconds keeps its connections: comet.js renews them, at an edge that checks them."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.browser.conftest import Tab
from tests.browser.subscriber import BLANK, PAGE
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.edge.tokens.making import token

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

KEY = "a secret of thirty-two bytes or more"
LIFE = 10.0  # seconds of each token; without renewal its connection ends within five more
RUN = 22.0
TRANSPORTS = ["ws", "sse", "stream", "poll", "jsonp"]
# One client for each transport; what each of them heard, how often it connected, and the errors of all.
SUBSCRIBE = """([url, transports]) => {
  globalThis.errors = [];
  globalThis.clients = transports.map((transport) => {
    const comet = new Comet(url, { transports: [transport], share: false, getToken: () => makeToken() });
    const client = { comet, heard: [], opened: 0 };
    comet.on("open", () => client.opened++);
    comet.on("error", (error) => errors.push([transport, error]));
    comet.subscribe("room", ({ content }) => client.heard.push(content));
    return client;
  });
}"""
ADD = """() => {
  for (const { comet, heard } of clients) comet.subscribe("more", ({ content }) => heard.push(content));
}"""


@pytest.fixture(scope="module")
def guarded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster whose channels need tokens."""
    settings = {"COMET_TOKEN_KEY": KEY, "COMET_TOKEN_LEEWAY": "0", "COMET_POLL_TIMEOUT": "20"}
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **settings)) as cluster:
        yield cluster


def test_tokens_are_renewed_on_connections_that_are_held(
    guarded_cluster: Cluster, open_tab: Callable[..., Tab]
) -> None:
    """By every transport: nothing ends, no error is told, and a fresh token opens the channels that it names."""
    tab = open_tab(f"http://localhost:{guarded_cluster.publisher.port}{BLANK}")
    made: list[float] = []

    def make_token() -> str:
        made.append(time.monotonic())
        names = ["room"] if len(made) <= len(TRANSPORTS) else ["room", "more"]
        claims = {"sub": "bob", "exp": time.time() + LIFE, "channels": names}
        return token(claims, KEY.encode())

    tab.page.expose_function("makeToken", make_token)
    tab.page.set_content(PAGE)
    tab.page.evaluate(SUBSCRIBE, [guarded_cluster.a.url, TRANSPORTS])
    until(lambda: look(tab, "every(({ comet }) => comet.positions.room)"))
    until(lambda: look(tab, "length") and len(made) >= 2 * len(TRANSPORTS), LIFE + 2)
    tab.page.evaluate(ADD)
    until(lambda: look(tab, "every(({ comet }) => comet.positions.more)"))
    guarded_cluster.publish("more", "more")
    until(lambda: look(tab, "length") and time.monotonic() - made[0] > RUN, RUN + 2)
    guarded_cluster.publish("room", "late")
    until(lambda: look(tab, 'every(({ heard }) => heard.join() === "more,late")'))
    assert tab.page.evaluate("() => errors") == []
    assert look(tab, "map(({ opened }) => opened)") == [1] * len(TRANSPORTS)
    assert [url for url in tab.asked if "/sub/" in url] == []


def look(tab: Tab, what: str) -> object:
    """Return something of the clients of a page."""
    return tab.page.evaluate(f"() => clients.{what}")
