"""The browser's own EventSource, without a line of ours, behind load balancers: it resumes by itself."""

import signal
from collections.abc import Callable
from itertools import count

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import DRAIN, Site
from tests.browser.subscriber import BLANK, PATIENCE, Subscriber
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # Chromium, on a machine that does ten other things

_numbers = count(1)
COUNT_BEATS = """() => {
  globalThis.beats = [];
  subscriber.source.addEventListener("heartbeat", ({ data, lastEventId }) => beats.push([data, lastEventId]));
  subscriber.source.addEventListener("message", ({ lastEventId }) => globalThis.last = lastEventId);
}"""
GRACE = 5.0  # what a drain may take longer than it was given


@pytest.fixture
def page(site: Site, open_tab: Callable[..., Tab], channel: str) -> Subscriber:
    """Return a page with an EventSource that has heard one message."""
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
    """Its edge is killed, it comes back to another one with its Last-Event-ID, and nothing is missing."""
    site.serving().kill()
    assert_resumed(site, page, channel, ["one"])
    page.tab.forgive_lost_connections()


def test_it_is_led_away_from_an_edge_that_drains(site: Site, page: Subscriber, channel: str) -> None:
    """Its edge drains: it is served to the last, then comes back to another one, and the console shows no error."""
    edge = site.serving()
    edge.signal(signal.SIGTERM)
    until(lambda: edge.status("/readyz") == 503)
    site.publish(channel, "while draining")
    page.hears(channel, "while draining")
    assert edge.ended(DRAIN + GRACE) == 0
    assert_resumed(site, page, channel, ["one", "while draining"])


def test_it_hears_named_heartbeats(site: Site, open_tab: Callable[..., Tab], channel: str) -> None:
    """With `heartbeat=event` a page hears that its connection lives; its position is still that of the last message."""
    page = Subscriber(open_tab(site.url + BLANK), "EventSource", f"{channel}&heartbeat=event")
    page.tab.page.evaluate(COUNT_BEATS)
    until(lambda: page.opened, PATIENCE)
    site.publish(channel, "one")
    until(lambda: page.heard, PATIENCE)
    before = page.tab.page.evaluate("() => beats.length")
    until(lambda: page.tab.page.evaluate("() => beats.length") >= before + 2, PATIENCE)
    data, position = page.tab.page.evaluate("() => beats.at(-1)")
    assert (data, position) == ("", page.tab.page.evaluate("() => last"))
    site.serving().kill()
    site.publish(channel, "two")
    until(lambda: len(page.heard) == 2, PATIENCE)
    assert [content for _, content in page.heard] == ["one", "two"]
    page.tab.forgive_lost_connections()


def assert_resumed(site: Site, page: Subscriber, channel: str, before: list[str]) -> None:
    """Check that what is published while it is away, and afterwards, comes once and in order."""
    site.publish(channel, "while away")
    until(lambda: len(page.opened) == 2, PATIENCE)
    site.publish(channel, "after")
    page.hears(channel, "after")
    assert [content for _, content in page.heard] == [*before, "while away", "after"]
    edges = [session.partition(".")[0] for session in page.opened]
    assert edges[0] != edges[1]
