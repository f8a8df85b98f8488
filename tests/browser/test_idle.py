"""Silence behind load balancers: heartbeats, and polls that end in time, keep connections alive."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import FRONTS, Tab
from tests.browser.site import HEARTBEAT, Site
from tests.browser.subscriber import BLANK, TRANSPORTS, Subscriber
from tests.cluster.processes import Cluster
from tests.lb.conftest import balancing

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

TIME_OUT = 4 * HEARTBEAT  # seconds; the shipped one is thirteen heartbeats


@pytest.fixture(scope="module", params=FRONTS)
def hasty_site(
    request: pytest.FixtureRequest, edges: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Yield a site whose balancer ends every connection that is silent for two seconds."""
    folder = tmp_path_factory.mktemp("lb")
    with balancing(request.param(folder, edges.edges, edges.publisher, time_out=f"{TIME_OUT:.0f}s")) as balancer:
        yield Site(edges, balancer)


def test_silence_is_survived(
    hasty_site: Site, open_tab: Callable[..., Tab], new_context: Callable[..., "BrowserContext"]
) -> None:
    """After twice the balancer's time-out without a message, every page still has its first connection."""
    hasty_site.restore()
    context = new_context()
    pages = [Subscriber(open_tab(hasty_site.url + BLANK, context), transport, "idle") for transport in TRANSPORTS]
    for page in pages:
        page.is_on("idle")
    time.sleep(2 * TIME_OUT)  # no event is awaited: the silence itself is the test
    connections = {transport: len(page.opened) for transport, page in zip(TRANSPORTS, pages, strict=True)}
    assert connections == dict.fromkeys(TRANSPORTS, 1)
    hasty_site.publish("idle", "at last")
    for page in pages:
        page.hears("idle", "at last")
        assert page.heard == [["idle", "at last"]]
