"""Six tabs of one browser behind load balancers share one connection, also after its edge has died."""

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import Site
from tests.browser.subscriber import PAGE_TIMEOUT
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

TABS = 6
_numbers = count(1)


def held(site: Site) -> int:
    """Return the number of connections that the edges hold."""
    return sum(edge.held for edge in site.edges if edge.alive)


def lines(tab: Tab, mark: str) -> list[str]:
    """Return the messages of this test that a chat shows."""
    return [text for text in tab.page.locator("ol li span").all_inner_texts() if text.endswith(mark)]


def test_six_tabs_hold_one_connection(
    site: Site, open_tab: Callable[..., Tab], new_context: Callable[..., "BrowserContext"]
) -> None:
    """Each message is in every tab once, before and after the edge that serves them is killed."""
    context, mark = new_context(), f"of test {next(_numbers)}"
    tabs = [open_tab(f"{site.url}/chat", context) for _ in range(TABS)]
    for tab in tabs:
        tab.forgive_lost_connections()
        until(lambda tab=tab: "open" in tab.page.locator("#where").inner_text(), PAGE_TIMEOUT)
    until(lambda: held(site) == 1)
    site.publish("demo:chat", f"one {mark}")
    for tab in tabs:
        until(lambda tab=tab: lines(tab, mark) == [f"one {mark}"], PAGE_TIMEOUT)

    site.serving().kill()
    site.publish("demo:chat", f"two {mark}")
    for tab in tabs:
        until(lambda tab=tab: lines(tab, mark)[1:] == [f"two {mark}"], PAGE_TIMEOUT)
    assert held(site) == 1
