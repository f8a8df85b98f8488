"""The operators' page in a real Chromium, against real processes."""

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from common.service.version import our_build, our_version
from tests.browser.accessibility import controls, faults, tab_through
from tests.browser.conftest import CHROMIUM, NO_PLAYWRIGHT, SCREENSHOTS
from tests.cluster.clients import PollClient, SseClient, StreamClient
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until

pytest.importorskip("playwright", reason=NO_PLAYWRIGHT)
from playwright.sync_api import Browser, Page  # of the extra `system`

KEY, SHOP = "a-key-for-the-browser", "a-key-of-the-shop-backend"
PAGE_TIMEOUT = 20.0  # seconds, for a browser on a loaded machine
SIZES = {"phone": (360, 800), "desktop": (1280, 900)}

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(180),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is missing: pip install -e '.[system]'"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster that needs a key, and whose edges may be killed."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), COMET_PUBLISH_KEYS=f"{KEY},shop:{SHOP}:order:*")) as it:
        yield it


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(chromium: "Browser", cluster: Cluster) -> Iterator[Open]:
    """Yield a function that opens the page; the test fails if a page logged an error or requested another address."""
    contexts = []
    trouble: list[str] = []
    own = f"http://127.0.0.1:{cluster.publisher.port}/"

    def open_one(size: str = "desktop", scheme: Any = "light", *, key: bool = True) -> "Page":
        width, height = SIZES[size]
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PAGE_TIMEOUT * 1000)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda line: None if _is_expected(line.text) else trouble.append(line.text))
        page.on("request", lambda request: None if request.url.startswith(own) else trouble.append(request.url))
        page.goto(own + "admin")
        if key:
            page.fill("#key", KEY)
            page.press("#key", "Enter")
            page.wait_for_selector("#state.good")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert trouble == []


def _is_expected(line: str) -> bool:
    """Whether a logged line is of a failed request that the page handles; Chromium itself logs each one."""
    status = "the server responded with a status of"
    expected = (f"{status} 401", f"{status} 403", "net::ERR_CONNECTION_REFUSED")
    return line.startswith(tuple(f"Failed to load resource: {each}" for each in expected))


def sees(page: "Page", selector: str, pattern: str) -> str:
    """Wait until an element's text matches."""
    return until(lambda: (text := page.inner_text(selector)) and re.search(pattern, text) and text, PAGE_TIMEOUT)


def tails_end(cluster: Cluster, page: "Page", expected: int) -> None:
    """Wait until this number of tails is open, as their limit counts them."""
    del page
    until(lambda: cluster.publisher.metric("comet_tails") == expected, PAGE_TIMEOUT)


def test_it_shows_edges_connections_and_channels(cluster: Cluster, open_page: Open) -> None:
    """Both edges are shown with their connections by transport, the sums, the charts, and the busiest channels."""
    with (
        StreamClient(cluster.a.port, "room"),
        SseClient(cluster.b.port, "room"),
        PollClient(cluster.b.port, "lobby"),
    ):
        page = open_page()
        sees(page, "#connection-count", r"^3$")
        assert page.inner_text("#edge-count") == "2"
        sees(page, "#edges", r"1 \(stream 1\)")
        sees(page, "#edges", r"2 \(sse 1 · poll 1\)|2 \(poll 1 · sse 1\)")
        assert page.locator("#edges .tag.good").all_inner_texts() == ["ready", "ready"]
        sees(page, "#busiest", r"room\s+2\s+lobby\s+1")
        label = page.locator("#connections-chart svg").get_attribute("aria-label") or ""
        assert re.match(r"Connections: 3 now, at most 3 in the last 5 minutes", label), label
        assert (page.locator("#connections-chart .trace").get_attribute("d") or "").startswith("M")
    sees(page, "#connection-count", r"^0$")


def test_an_announcement_of_no_edge_is_named(cluster: Cluster, open_page: Open) -> None:
    """The page shows the edges all the same, and says what is left out, until it is gone."""
    page = open_page()
    with cluster.valkey.client() as redis:
        redis.set("comet:!edge:forged", '{"id": "forged", "busiest": 5}', ex=60)
        redis.sadd("comet:!edges", "forged")
        sees(page, "#unreadable", r"of no edge.*: forged$")
        assert page.inner_text("#edge-count") == "2"
        redis.delete("comet:!edge:forged")
    until(lambda: page.locator("#unreadable").is_hidden(), PAGE_TIMEOUT)


def test_it_shows_the_figures_of_each_edge(cluster: Cluster, open_page: Open) -> None:
    """Messages a second, channels, version with build, and uptime of each edge stand under their headings."""
    with StreamClient(cluster.a.port, "rate"), StreamClient(cluster.a.port, "rate"):
        page = open_page()
        headings = ["Edge", "State", "Connections", "Messages / s", "Channels", "Version", "Up"]
        assert page.locator("table:has(#edges) thead th").all_inner_texts() == headings

        def column(name: str) -> list[str]:
            number = headings.index(name) + 1
            return [text.strip() for text in page.locator(f"#edges tr > :nth-child({number})").all_inner_texts()]

        def a_message_a_turn() -> bool:
            cluster.valkey.publish("rate", "hi")
            return any(re.fullmatch(r"[1-9][\d.,]*|0[.,]\d*[1-9]\d*", text) for text in column("Messages / s"))

        until(a_message_a_turn, PAGE_TIMEOUT)
        assert column("Version") == [f"{our_version()}, {our_build()}"] * 2
        assert all(re.fullmatch(r"\d+ (s|min|min \d+ s)", text) for text in column("Up")), column("Up")
        before = column("Up")
        until(lambda: column("Up") != before, PAGE_TIMEOUT)
        assert "0" not in [column("Channels")[row] for row, rate in enumerate(column("Messages / s")) if rate != "0"]


def test_a_channel_is_watched_published_to_and_closed(cluster: Cluster, open_page: Open) -> None:
    """Other publishers' messages appear live, the page's own reach a subscriber, and disconnecting ends it."""
    with StreamClient(cluster.a.port, "news") as subscriber:
        page = open_page()
        page.click("#busiest button >> text=news")
        sees(page, "#subscribers", "^1 subscriber on 1 edge$")
        with cluster.valkey.client() as redis:
            redis.execute_command("FCALL", "comet_publish", 1, "comet:news", "<b>from & elsewhere</b>")
        sees(page, "#messages", re.escape("<b>from & elsewhere</b>"))
        assert page.locator("#messages b").count() == 0
        assert subscriber.receive() == "<b>from & elsewhere</b>"

        page.fill("#content", "from the page")
        page.fill("#event", "hello")
        page.click("#publish button")
        sees(page, "#channel-notice", r"^Published to news as 2-\d+; 1 subscriber got it\.$")
        sees(page, "#messages", "hello\\s+from the page")
        assert subscriber.next_object()["content"] == "from the page"

        page.click("#disconnect")
        sees(page, "#close-text", "^1 connection of news will be ended")
        page.click("#close-dialog button:not(.danger)")
        page.click("#disconnect")
        page.click("#close-dialog button.danger")
        sees(page, "#channel-notice", r"^Ended 1 connection of news\.$")
        assert subscriber.next_object()["type"] == "close"
        sees(page, "#subscribers", "^0 subscribers on 0 edges$")


def test_a_tail_ends_with_its_page_or_its_channel(cluster: Cluster, open_page: Open) -> None:
    """After a stop, another channel, another page or a closed page, no tail is left on the publisher."""
    page = open_page()
    for channel, expected in (("one", 1), ("two", 1)):
        page.fill("#channel", channel)
        page.press("#channel", "Enter")
        tails_end(cluster, page, expected)
    page.click("#stop")
    tails_end(cluster, page, 0)
    page.click("#watch button[type=submit]")
    tails_end(cluster, page, 1)
    page.goto(f"http://127.0.0.1:{cluster.publisher.port}/chat")
    tails_end(cluster, page, 0)
    other = open_page()
    other.fill("#channel", "three")
    other.press("#channel", "Enter")
    tails_end(cluster, other, 1)
    other.close()
    tails_end(cluster, other, 0)


def test_the_key_is_asked_for_and_may_be_forgotten(open_page: Open) -> None:
    """Without a key nothing is shown; a wrong key gives a notice; the key lives as long as the tab."""
    page = open_page(key=False)
    page.wait_for_selector("#key-dialog[open]")
    assert not page.inner_text("#connection-count").isdigit()
    page.fill("#key", "not-the-right-key")
    page.press("#key", "Enter")
    sees(page, "#key-notice", "this key is not one of COMET_PUBLISH_KEYS")
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_selector("#state.good")
    page.reload()
    page.wait_for_selector("#state.good")
    page.click("#forget-key")
    page.wait_for_selector("#key-dialog[open]")


def test_a_key_that_opens_something_else_is_told_so(open_page: Open) -> None:
    """One that only publishes to some channels shows nothing of the cluster; another one can be given."""
    page = open_page(key=False)
    page.wait_for_selector("#key-dialog[open]")
    page.fill("#key", SHOP)
    page.press("#key", "Enter")
    sees(page, "#key-notice", "the key 'shop' is for some channels only")
    assert not page.inner_text("#connection-count").isdigit()
    page.fill("#key", KEY)
    page.press("#key", "Enter")
    page.wait_for_selector("#state.good")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_is_readable(open_page: Open, cluster: Cluster, size: str, scheme: str) -> None:
    """No element is too wide, texts have a contrast of 4.5 or more, and each control has 24 pixels and a name."""
    with StreamClient(cluster.a.port, "a-channel-with-a-rather-long-name-that-has-to-break-somewhere" * 2):
        page = open_page(size, scheme)
        sees(page, "#busiest", "a-channel")
        page.fill("#channel", "room")
        page.press("#channel", "Enter")
        sees(page, "#subscribers", "subscribers")
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=str(SCREENSHOTS / f"admin-{size}-{scheme}.png"), full_page=True)
        assert faults(page, SIZES[size][0]) == []


def test_it_can_be_used_by_keyboard_alone(open_page: Open, cluster: Cluster) -> None:
    """Tab reaches the skip link first and then every control; Enter watches a busy channel; the focus stays there."""
    with StreamClient(cluster.a.port, "keys"):
        page = open_page()
        sees(page, "#busiest", "keys")
        seen = []
        for _ in range(12):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        assert seen[0] == "Go to the channel"
        for name in ("keys", "channel", "messages", "content", "event"):
            assert name in seen, seen
        page.focus("#busiest button")
        page.keyboard.press("Enter")
        sees(page, "#subscribers", "^1 subscriber on 1 edge$")
        updated = page.inner_text("#edges")
        until(lambda: page.inner_text("#edges") != updated, PAGE_TIMEOUT)
        assert page.evaluate("document.activeElement.textContent") == "keys"


def test_tab_leads_to_every_control_in_order(open_page: Open, cluster: Cluster) -> None:
    """Each control shows its focus, also while the page updates every second."""
    with StreamClient(cluster.a.port, "tabs"):
        page = open_page()
        sees(page, "#busiest", "tabs")
        assert tab_through(page) == controls(page)


def test_edges_of_other_versions_and_states_are_shown(cluster: Cluster, open_page: Open) -> None:
    """An edge that drains and one that announces almost nothing are shown beside the two that are ready."""
    page = open_page()
    with cluster.valkey.client() as redis:
        for name, about in (("new", '{"id":"new"}'), ("old", '{"id":"old","draining":true,"connections":{"sse":7}}')):
            redis.set(f"comet:!edge:{name}", about, ex=10)
            redis.sadd("comet:!edges", name)
    sees(page, "#edges", r"new\s+not ready")
    sees(page, "#edges", r"old\s+draining\s+7 \(sse 7\)")
    sees(page, "#edge-count", "^4$")
    sees(page, "#edge-count", "^2$")


def test_an_edge_that_dies_disappears_and_one_that_starts_appears(cluster: Cluster, open_page: Open) -> None:
    """No list is configured: announcements expire in ten seconds."""
    page = open_page()
    sees(page, "#edge-count", "^2$")
    cluster.b.kill()
    sees(page, "#edge-count", "^1$")
    cluster.b.start()
    sees(page, "#edge-count", "^2$")


def test_a_dead_publisher_is_shown(cluster: Cluster, open_page: Open) -> None:
    """The page shows it, and goes on by itself when the publisher is back."""
    page = open_page()
    cluster.publisher.kill()
    sees(page, "#state", "publisher does not answer")
    cluster.publisher.start()
    sees(page, "#state", "^live$")
    until(lambda: cluster.publisher.ready, PAGE_TIMEOUT)
