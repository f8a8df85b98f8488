"""Pages of other origins that give orders, in a real Chromium: no order is obeyed, and no page clicks in another."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import LOST, Tab
from tests.browser.site import Site
from tests.browser.subscriber import BLANK
from tests.browser.test_origins import REFUSED, insecure
from tests.cluster.clients import StreamClient
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

KEY = "a-key-of-16-chars"
COUNTED = 'comet_foreign_requests_total{code="%d"}'
# Each sends one order, and resolves when the browser has its answer, which the page cannot read.
IMAGE = """(url) => new Promise((done) => {
  const image = new Image();
  image.onload = image.onerror = done;
  image.src = url + "/pub?id=room&content=image";
})"""
FORM = """(url) => new Promise((done) => {
  const name = `answer${frames.length}`;
  const frame = Object.assign(document.createElement("iframe"), { name });
  const form = Object.assign(document.createElement("form"), { action: url, method: "post", target: name });
  for (const [name, value] of [["id", "room"], ["content", "form"]])
    form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(frame, form);
  frame.onload = done;
  form.submit();
})"""
FETCH = """([url, body]) => fetch(url, { method: "POST", mode: "no-cors", body: body && new URLSearchParams(body) })
  .then(() => null)"""
ASK = """([path, method]) => fetch(path, { method }).then((answer) => answer.status)"""
ORDERS = 6
NOT_OURS = re.compile(r"status of (400|401|421)")
CLICK = "opener.document.forms.publish.tick.click"


@pytest.fixture(scope="module", params=["", KEY], ids=["no key", "with a key"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield clusters with and without a key, with the demo."""
    settings = {"COMET_DEMO": "1"} | ({"COMET_PUBLISH_KEYS": KEY} if request.param else {})
    with running(Cluster(tmp_path_factory.mktemp("foreign"), edges="a", **settings)) as cluster:
        yield cluster


def forgive(tab: Tab) -> None:
    """Accept what the browser logs of each refusal."""
    for pattern in (REFUSED, NOT_OURS, LOST):
        tab.forgive(pattern)


@pytest.mark.parametrize("page", ["foreign.localhost", "foreign.test"])
def test_no_order_of_a_foreign_page_is_obeyed(cluster: Cluster, open_tab: Callable[..., Tab], page: str) -> None:
    """Image, forms and fetches are refused, on the internal port too; a subscriber hears nothing, and stays."""
    publisher, edge = cluster.publisher, cluster.a
    before = {service: service.metric(COUNTED % 403) for service in cluster.services}
    tab = open_tab(f"http://{page}:{publisher.port}{BLANK}")
    forgive(tab)
    with StreamClient(edge.port, "room") as client:
        tab.page.evaluate(IMAGE, publisher.url)
        tab.page.evaluate(FORM, publisher.url + "/pub")
        tab.page.evaluate(FORM, publisher.url + "/broadcast")
        tab.page.evaluate(FETCH, [publisher.url + "/pub", {"id": "room", "content": "fetch"}])
        tab.page.evaluate(FETCH, [publisher.url + "/close?id=room", None])
        tab.page.evaluate(FETCH, [publisher.url + "/demo/pub", None])
        tab.page.evaluate(FETCH, [f"http://127.0.0.1:{edge.admin_port}/drain", None])
        until(lambda: publisher.metric(COUNTED % 403) == before[publisher] + ORDERS)
        until(lambda: edge.metric(COUNTED % 403) == before[edge] + 1)
        cluster.valkey.publish("room", "ours")
        assert client.receive() == "ours"
    assert edge.ready


def rebound(service: Service, path: str, *, internal: bool = False) -> str:
    """Return a URL of a service under a stranger's name, which leads to this machine."""
    return f"http://evil.test:{service.admin_port if internal else service.port}{path}"


def test_a_page_whose_name_leads_here_neither_orders_nor_reads(cluster: Cluster, open_tab: Callable[..., Tab]) -> None:
    """The browser takes all for the page's own; without a key the name is refused, and with one the page has none."""
    tab = open_tab(rebound(cluster.publisher, BLANK))
    forgive(tab)
    for path, method in (("/pub?id=room&content=x", "GET"), ("/close?id=room", "POST"), ("/info", "GET")):
        assert tab.page.evaluate(ASK, [path, method]) in {401, 421}
    for service in cluster.services:
        tab = open_tab(rebound(service, "/healthz", internal=True))
        forgive(tab)
        assert tab.page.evaluate(ASK, ["/drain", "POST"]) == 421
        assert service.ready


def opened_by_a_stranger(site: Site, open_tab: Callable[..., Tab], url: str, status: int) -> tuple[Tab, "Page"]:
    """Return the tab of a stranger's page, and the pop-up in which it opened this address."""
    tab = open_tab(f"http://foreign.localhost:{site.cluster.publisher.port}{BLANK}")
    forgive(tab)
    with (
        tab.page.context.expect_event("response", lambda response: "/iframe" in response.url) as answer,
        tab.page.expect_popup() as pop_up,
    ):
        tab.page.evaluate("(url) => void open(url)", url)
    assert answer.value.status == status
    return tab, pop_up.value


@pytest.mark.parametrize(
    ("is_secure", "callback", "status"), [(True, CLICK, 400), (False, CLICK, 400), (True, "tick", 403)]
)
def test_a_stranger_s_pop_up_is_refused(
    site: Site, open_tab: Callable[..., Tab], is_secure: bool, callback: str, status: int
) -> None:
    """A path of names is no callback anywhere; and where the browser says that it is a pop-up, nothing is."""
    url = site.url if is_secure else insecure(site.url)
    opened_by_a_stranger(site, open_tab, f"{url}/iframe?id=clicks&callback={callback}", status)
    assert site.subscribers("clicks") == 0


def test_a_pop_up_over_plain_http_calls_nothing_but_its_own(site: Site, open_tab: Callable[..., Tab]) -> None:
    """There the browser does not say what it is. Its opener goes to a page of the same origin: nothing clicks there."""
    url = insecure(site.url)
    tab, pop_up = opened_by_a_stranger(site, open_tab, f"{url}/iframe?id=clicks&callback=tick", 200)
    tab.page.goto(url + BLANK)
    tab.page.evaluate("() => void (globalThis.tick = () => (globalThis.clicked = true))")
    with pop_up.expect_event("pageerror", lambda error: "tick is not a function" in str(error)):
        site.publish("clicks", "now")
    assert tab.page.evaluate("() => globalThis.clicked ?? false") is False
    pop_up.close()
