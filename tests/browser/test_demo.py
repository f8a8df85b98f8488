"""The demo page and the chat, in Chromium, against real processes."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.browser.accessibility import MAX_CONTROLS, controls, faults, tab_through
from tests.browser.conftest import NO_PLAYWRIGHT, Tab
from tests.browser.control import Control
from tests.cluster.clients import get
from tests.cluster.processes import Cluster
from tests.cluster.waiting import STARTING, until

pytest.importorskip("playwright", reason=NO_PLAYWRIGHT)
from playwright.sync_api import BrowserContext, Locator, Page, expect  # of the extra `system`

pytestmark = pytest.mark.system

OpenTab = Callable[..., Tab]
PHONE = {"width": 360, "height": 740}
NOTE_STATES = """() => {
  globalThis.states = [];
  const tag = document.querySelector(".state .tag");
  new MutationObserver(() => states.push(tag.textContent)).observe(tag, { childList: true });
}"""
TRANSPORTS = ["ws", "sse", "stream", "poll", "jsonp"]


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[Cluster]:
    """Yield the cluster, and start the edges again that the test has killed."""
    yield cluster
    Control(cluster).revive()


def panes(page: Page) -> list[Locator]:
    """Return the two connections of a demo page, both open."""
    both = [page.locator("section.pane").nth(index) for index in range(2)]
    for pane in both:
        expect(pane.locator(".state")).to_have_text("open")
    return both


def quiet(page: Page) -> None:
    """Switch off the message that the page sends every second."""
    page.get_by_label("one every second").uncheck()


def listen(pane: Locator, channel: str, transport: str = "") -> None:
    """Have a pane show a channel."""
    pane.get_by_label("Channel").fill(channel)
    pane.get_by_label("Channel").press("Tab")
    if transport:
        pane.get_by_label("Transport").select_option(transport)
    expect(pane.locator(".state")).to_have_text("open")
    expect(pane.locator(".via")).to_have_text(transport or re.compile(r"\w"))


def shown(pane: Locator) -> list[str]:
    """Return the messages that a pane shows, oldest first."""
    return pane.locator("tbody tr td:nth-child(2)").all_inner_texts()[::-1]


def test_messages_move_at_once_through_two_edges(cluster: Cluster, open_tab: OpenTab) -> None:
    """Messages appear in both panes, each served by another edge, and the page requests no other address."""
    tab = open_tab(cluster.publisher.url + "/")
    first, second = panes(tab.page)
    for pane in (first, second):
        expect(pane.locator("tbody")).to_contain_text("tick 2")
        expect(pane.locator("tbody tr").first.locator("td").first).to_have_text(re.compile(r"^\d+-\d+$"))
        expect(pane.locator(".latency")).to_have_text(re.compile(r"^[\d.]+ ms, median [\d.]+$"))
    addresses = {pane.locator(".address").inner_text() for pane in (first, second)}
    assert addresses == {edge.url.removeprefix("http://") for edge in cluster.edges}
    names = {pane.locator(".edge").inner_text() for pane in (first, second)}
    assert len(names) == 2
    assert all(re.fullmatch(r"[\w-]{4,}", name) for name in names), names
    expect(tab.page.locator("#outcome")).to_have_text(re.compile(r"^\d+-\d+ reached 2 subscribers on 2 edges$"))
    assert_only_the_cluster_is_requested(cluster, tab)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_every_transport_can_be_chosen(cluster: Cluster, open_tab: OpenTab, transport: str) -> None:
    """A message from curl arrives in the pane by the transport that was chosen, and also after a kill."""
    page = open_tab(cluster.publisher.url + "/").page
    quiet(page)
    pane = panes(page)[0]
    channel = f"demo:{transport}"
    listen(pane, channel, transport)
    cluster.publish(channel, "one")
    expect(pane.locator("tbody")).to_contain_text("one")
    pane.get_by_role("button", name="Kill").click()
    cluster.publish(channel, "two")
    expect(pane.locator("tbody")).to_contain_text("two")
    expect(pane.locator(".via")).to_have_text(transport)
    assert shown(pane) == ["one", "two"]


def test_a_dead_edge_loses_nothing(whole: Cluster, open_tab: OpenTab) -> None:
    """While the edge of each pane is killed in its turn, messages go on, and each arrives once and in order."""
    tab = open_tab(whole.publisher.url + "/")
    quiet(tab.page)
    both = panes(tab.page)
    for pane in both:
        listen(pane, "demo:kill")
    sent = []
    for edge in whole.edges:
        edge.kill()
        for _ in range(5):
            sent.append(f"message {len(sent)}")
            whole.publish("demo:kill", sent[-1])
        for pane in both:
            expect(pane.locator("tbody")).to_contain_text(sent[-1])
        edge.start()
        until(lambda edge=edge: edge.ready, STARTING)
    assert [shown(pane) for pane in both] == [sent, sent]
    tab.forgive_lost_connections()


def test_a_reset_is_shown(cluster: Cluster, open_tab: OpenTab) -> None:
    """After Valkey has lost everything, the page says that messages are missing, and goes on."""
    tab = open_tab(cluster.publisher.url + "/")
    quiet(tab.page)
    pane = panes(tab.page)[0]
    listen(pane, "demo:reset")
    cluster.publish("demo:reset", "before")
    expect(pane.locator("tbody")).to_contain_text("before")
    Control(cluster).forget()
    expect(pane.locator("tbody")).to_contain_text("reset: something is missing")
    cluster.publish("demo:reset", "after")
    expect(pane.locator("tbody")).to_contain_text("after")


def test_the_page_is_used_by_keyboard(cluster: Cluster, open_tab: OpenTab) -> None:
    """Enter publishes; a channel that does not belong to the demo is refused before it is sent."""
    page = open_tab(cluster.publisher.url + "/").page
    quiet(page)
    panes(page)
    page.get_by_role("textbox", name="Message").focus()
    page.keyboard.type("<b>typed</b>")
    page.keyboard.press("Enter")
    for pane in panes(page):
        expect(pane.locator("tbody tr").first.locator("td").nth(1)).to_have_text("<b>typed</b>")
    form = page.locator("#publish")
    for channel in ("orders", "democracy", "chat"):
        form.get_by_label("Channel").fill(channel)
        page.get_by_role("textbox", name="Message").fill("x")
        page.keyboard.press("Enter")
        assert form.locator(":invalid").count() == 1


def press_tab_until(page: Page, control: Locator) -> None:
    """Move the focus to a control by the Tab key."""
    for _ in range(MAX_CONTROLS):
        if control.evaluate("(element) => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {control}")


def test_the_page_needs_no_mouse(cluster: Cluster, open_tab: OpenTab) -> None:
    """Keys switch off the tick, choose a transport, name a channel, send a message and kill a connection."""
    page = open_tab(cluster.publisher.url + "/").page
    first, second = panes(page)
    tick = page.get_by_label("one every second")
    press_tab_until(page, tick)
    page.keyboard.press("Space")
    expect(tick).not_to_be_checked()
    press_tab_until(page, first.get_by_label("Transport"))
    page.keyboard.type("stream")
    expect(first.locator(".via")).to_have_text("stream")
    for pane in (first, second):
        press_tab_until(page, pane.get_by_label("Channel"))
        page.keyboard.type("demo:keys")  # Tab has selected the old name
        page.keyboard.press("Enter")
        expect(pane.locator("tbody tr")).to_have_count(0)

    press_tab_until(page, page.locator("#publish").get_by_label("Channel"))
    page.keyboard.type("demo:keys")
    page.keyboard.press("Tab")
    page.keyboard.type("by keys")
    page.keyboard.press("Enter")
    for pane in (first, second):
        expect(pane.locator("tbody")).to_contain_text("by keys")

    page.evaluate(NOTE_STATES)
    press_tab_until(page, first.get_by_role("button", name="Kill"))
    page.keyboard.press("Enter")
    until(lambda: page.evaluate("() => states.length > 1 && states.at(-1) === 'open'"))
    cluster.publish("demo:keys", "after the kill")
    expect(first.locator("tbody")).to_contain_text("after the kill")
    assert shown(first) == ["by keys", "after the kill"]


@pytest.mark.parametrize("path", ["/", "/chat"])
def test_tab_leads_to_every_control_in_order(cluster: Cluster, open_tab: OpenTab, path: str) -> None:
    """From the first link to the last field, each control shows its focus, and none keeps it."""
    page = open_tab(cluster.publisher.url + path).page
    expect(page.locator(".state, #where").first).to_contain_text("open")
    assert tab_through(page) == controls(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/chat"])
@pytest.mark.parametrize("width", [1280, 360])
def test_pages_fit_and_can_be_read(cluster: Cluster, open_tab: OpenTab, path: str, width: int, scheme: str) -> None:
    """No element is too wide, at either width, and every text has contrast."""
    options = {"viewport": PHONE | {"width": width}, "color_scheme": scheme}
    tab = open_tab(cluster.publisher.url + path, **options)
    expect(tab.page.locator(".state, #where").first).to_contain_text("open")
    if path == "/":
        for pane in panes(tab.page):
            expect(pane.locator("tbody")).to_contain_text("tick 2")
        cluster.publish("demo", "a-word-that-is-longer-than-any-screen-is-wide-" * 4)
    else:
        say(tab, "a-word-that-is-longer-than-any-screen-is-wide-" * 4)
    expect(tab.page.get_by_role("log").first).to_contain_text("longer-than")
    assert tab.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
    assert faults(tab.page, width) == []
    assert_only_the_cluster_is_requested(cluster, tab)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_trouble_can_be_read(cluster: Cluster, open_tab: OpenTab, scheme: str) -> None:
    """A reset, a refused channel and an absent publisher are shown in colours with contrast."""
    tab = open_tab(cluster.publisher.url + "/", color_scheme=scheme)
    quiet(tab.page)
    first, second = panes(tab.page)
    listen(first, "demo:trouble")
    cluster.publish("demo:trouble", "before")
    expect(first.locator("tbody")).to_contain_text("before")
    Control(cluster).forget()
    expect(first.locator("tbody")).to_contain_text("reset: something is missing")
    second.get_by_label("Channel").fill("not {allowed}")
    second.get_by_label("Channel").press("Tab")
    tab.page.route("**/demo/pub", lambda route: route.abort())
    say(tab, "into the void", "Publish")
    expect(tab.page.locator("#outcome")).to_contain_text("cannot be reached")
    assert faults(tab.page, 1280) == []
    tab.forgive_lost_connections()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("path", ["/", "/chat"])
def test_a_publisher_without_the_demo_is_told_of(
    cluster: Cluster, open_tab: OpenTab, new_context: Callable[..., BrowserContext], path: str, width: int
) -> None:
    """A page that another publisher served, or that the browser kept, says what to do, and can be read."""
    context = new_context(viewport=PHONE | {"width": width})
    context.route("**/demo/config.json", lambda route: route.fulfill(status=404, json={"content": "no such path"}))
    context.route("**/demo/pub", lambda route: route.fulfill(status=404, json={"content": "no such path"}))
    tab = open_tab(cluster.publisher.url + path, context)
    tab.forgive(re.compile("status of 404"))
    expect(tab.page.locator("#outcome")).to_contain_text("start the publisher with COMET_DEMO=1")
    say(tab, "hello", "Publish" if path == "/" else "Send")
    expect(tab.page.locator("#outcome")).to_contain_text("this message was not sent" if path == "/" else "still here")
    assert faults(tab.page, width) == []


def assert_only_the_cluster_is_requested(cluster: Cluster, tab: Tab) -> None:
    """Check that a page requests only the publisher and the edges."""
    ours = [cluster.publisher.url, *(edge.url for edge in cluster.edges)]
    assert [url for url in tab.asked if not any(url.startswith(own + "/") for own in ours)] == []


def held(cluster: Cluster) -> float:
    """Return the number of connections that the edges hold."""
    return sum(
        edge.metric(f'comet_connections{{transport="{transport}"}}')
        for edge in cluster.edges
        for transport in (*TRANSPORTS, "iframe")
    )


def open_chats(cluster: Cluster, open_tab: OpenTab, context: BrowserContext, count: int) -> list[Tab]:
    """Open tabs of the chat in one profile, and wait until all are connected."""
    tabs = [open_tab(cluster.publisher.url + "/chat", context) for _ in range(count)]
    for tab in tabs:
        expect(tab.page.locator("#where")).to_contain_text("open")
    return tabs


def say(tab: Tab, text: str, button: str = "Send") -> None:
    """Send a message."""
    tab.page.get_by_role("textbox", name="Message").fill(text)
    tab.page.get_by_role("button", name=button).click()


def test_six_tabs_share_one_connection(
    cluster: Cluster, open_tab: OpenTab, new_context: Callable[..., BrowserContext]
) -> None:
    """Six tabs of one browser hold one connection; when its tab closes, another takes over and no message is lost."""
    before = held(cluster)
    tabs = open_chats(cluster, open_tab, new_context(), 6)
    until(lambda: held(cluster) == before + 1)
    say(tabs[3], "to all six")
    for tab in tabs:
        expect(tab.page.locator("ol")).to_contain_text("to all six")
    leader = next(tab for tab in tabs if "held by another tab" not in tab.page.locator("#where").inner_text())
    leader.page.close()
    rest = [tab for tab in tabs if tab is not leader]
    get(cluster.publisher.port, "/pub", id="demo:chat", content="while nobody held it")
    say(rest[0], "after the first has gone")
    for tab in rest:
        expect(tab.page.locator("ol")).to_contain_text("after the first has gone")
        texts = tab.page.locator("ol li span").all_inner_texts()
        assert [texts.count(text) for text in ("to all six", "while nobody held it", "after the first has gone")] == [
            1
        ] * 3
    until(lambda: held(cluster) == before + 1)


def test_a_later_tab_sees_the_last_messages(
    cluster: Cluster, open_tab: OpenTab, new_context: Callable[..., BrowserContext]
) -> None:
    """The chat begins with its last messages, in a new profile and in a tab that joins a shared connection."""
    (first,) = open_chats(cluster, open_tab, new_context(), 1)
    say(first, "<img src=x onerror=alert(1)>")
    expect(first.page.locator("ol")).to_contain_text("<img src=x")
    (other,) = open_chats(cluster, open_tab, new_context(), 1)
    (beside,) = open_chats(cluster, open_tab, first.page.context, 1)
    for tab in (other, beside):
        expect(tab.page.locator("ol li").last).to_contain_text("<img src=x onerror=alert(1)>")
    assert beside.page.locator("ol li").count() == first.page.locator("ol li").count()
