"""The browser's own EventSource, without the client, behind load balancers: it resumes by itself."""

import signal
from collections.abc import Callable
from itertools import count

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import DRAIN, Site
from tests.browser.subscriber import BLANK, PAGE_TIMEOUT, Subscriber
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

_numbers = count(1)
COUNT_BEATS = """() => {
  globalThis.beats = [];
  subscriber.source.addEventListener("heartbeat", ({ data, lastEventId }) => beats.push([data, lastEventId]));
  subscriber.source.addEventListener("message", ({ lastEventId }) => globalThis.last = lastEventId);
}"""
GRACE = 5.0  # seconds that a drain may take beyond its time


@pytest.fixture
def page(site: Site, open_tab: Callable[..., Tab], channel: str) -> Subscriber:
    """Return a page with an EventSource that has got one message."""
    page = Subscriber(open_tab(site.url + BLANK), "EventSource", channel)
    page.is_on(channel)
    site.publish(channel, "one")
    page.hears(channel, "one")
    return page


@pytest.fixture
def channel() -> str:
    """Return a channel name that no other test uses."""
    return f"native-{next(_numbers)}"


def test_it_outlives_its_edge(site: Site, page: Subscriber, channel: str) -> None:
    """When its edge is killed, it comes back to another one with its Last-Event-ID, and no message is missing."""
    site.serving().kill()
    assert_resumed(site, page, channel, ["one"])
    page.tab.forgive_lost_connections()


def test_it_is_led_away_from_an_edge_that_drains(site: Site, page: Subscriber, channel: str) -> None:
    """When its edge drains, it gets messages to the end, comes back to another edge, and the console shows no error."""
    edge = site.serving()
    edge.signal(signal.SIGTERM)
    until(lambda: edge.status("/readyz") == 503)
    site.publish(channel, "while draining")
    page.hears(channel, "while draining")
    assert edge.ended(DRAIN + GRACE) == 0
    assert_resumed(site, page, channel, ["one", "while draining"])


def test_it_gets_heartbeat_events(site: Site, open_tab: Callable[..., Tab], channel: str) -> None:
    """With `heartbeat=event` a page sees that its connection lives; its position stays that of the last message."""
    page = Subscriber(open_tab(site.url + BLANK), "EventSource", f"{channel}&heartbeat=event")
    page.tab.page.evaluate(COUNT_BEATS)
    until(lambda: page.opened, PAGE_TIMEOUT)
    site.publish(channel, "one")
    until(lambda: page.heard, PAGE_TIMEOUT)
    before = page.tab.page.evaluate("() => beats.length")
    until(lambda: page.tab.page.evaluate("() => beats.length") >= before + 2, PAGE_TIMEOUT)
    data, position = page.tab.page.evaluate("() => beats.at(-1)")
    assert (data, position) == ("", page.tab.page.evaluate("() => last"))
    site.serving().kill()
    site.publish(channel, "two")
    until(lambda: len(page.heard) == 2, PAGE_TIMEOUT)
    assert [content for _, content in page.heard] == ["one", "two"]
    page.tab.forgive_lost_connections()


def assert_resumed(site: Site, page: Subscriber, channel: str, before: list[str]) -> None:
    """Check that messages published while it is away, and afterwards, come once and in order."""
    site.publish(channel, "while away")
    until(lambda: len(page.opened) == 2, PAGE_TIMEOUT)
    site.publish(channel, "after")
    page.hears(channel, "after")
    assert [content for _, content in page.heard] == [*before, "while away", "after"]
    edges = [session.partition(".")[0] for session in page.opened]
    assert edges[0] != edges[1]
