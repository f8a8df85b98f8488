"""Every transport in Chromium, behind nginx and HAProxy with their shipped configurations, while edges die."""

from collections.abc import Callable
from itertools import count

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import Site
from tests.browser.subscriber import BLANK, TRANSPORTS, Subscriber
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

_numbers = count(1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nothing_is_lost_or_comes_twice(site: Site, open_tab: Callable[..., Tab], transport: str) -> None:
    """A page receives, changes its channel on its connection, and outlives the edge that serves it."""
    first, second = (f"{name}-{next(_numbers)}" for name in ("first", "second"))
    page = Subscriber(open_tab(site.url + BLANK), transport, first)
    page.is_on(first)
    site.publish(first, "one")
    page.hears(first, "one")

    page.change(add=second, drop=first)
    page.is_on(second)
    until(lambda: site.subscribers(first) == 0)
    assert len(page.opened) == 1
    site.publish(first, "for nobody")
    site.publish(second, "two")
    page.hears(second, "two")

    site.serving().kill()
    site.publish(second, "three")
    page.hears(second, "three")
    site.publish(second, "four")
    page.hears(second, "four")
    assert page.heard == [[first, "one"], [second, "two"], [second, "three"], [second, "four"]]
    page.tab.forgive_lost_connections()
