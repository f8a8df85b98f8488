"""The promises of the demo page: a message is on the screen at once, and a dead edge costs a moment and no message.

All times are of one machine's clock, and the page itself records when a row was drawn, so Playwright adds nothing.
A loaded machine is sometimes late for seconds. So messages go out in rows, until the median of one row keeps the
promise or the rows are used up. The numbers are printed: `pytest -rP` shows them.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import Site
from tests.cluster.clients import get
from tests.cluster.processes import Cluster, Service
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

ON_SCREEN = 0.05  # seconds from curl's start, the median of a row
RECOVERED = 3.0  # seconds from the kill of an edge until the next message is on the screen
MESSAGES = 20  # in one row
ROWS = 15
MAX_ROWS = 100  # that the page shows
PAGE_TIMEOUT = 30.0

_numbers = count(1)
# A row is drawn one frame after it was added.
NOTE = """() => {
  globalThis.drawn = {};
  document.querySelectorAll("section.pane tbody").forEach((rows, pane) => {
    const note = (row) => requestAnimationFrame(() => setTimeout(() => {
      const numbered = Number(row.cells[0].textContent.split("-")[1]) / 1000;
      drawn[`${row.cells[1].textContent} ${pane}`] = [numbered, performance.timeOrigin + performance.now()];
    }));
    new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(note)))
      .observe(rows, { childList: true });
  });
}"""
SHOWN = (
    "() => [...document.querySelectorAll('tbody')].map((rows) => [...rows.rows].map((row) => row.cells[1].innerText))"
)


class Delays(NamedTuple):
    """Seconds until a message was on the screen."""

    from_curl: float
    from_redis: float


class Screen:
    """The demo page: both its connections listen to one channel, to which only the test publishes."""

    def __init__(self, cluster: Cluster, tab: Tab) -> None:
        self._publisher = cluster.publisher
        self._channel = f"demo:promise-{next(_numbers)}"
        self.page = tab.page
        self.page.get_by_label("one every second").uncheck()
        for pane in range(2):
            field = self.page.locator("section.pane").nth(pane).get_by_label("Channel")
            field.fill(self._channel)
            field.press("Tab")
        until(lambda: self._subscribers == 2, PAGE_TIMEOUT)
        self.page.evaluate(NOTE)

    def publish(self, content: str) -> float:
        """Publish by curl, as the page tells; return the time at which that began, in seconds since 1970."""
        address = f"{self._publisher.url}/pub?{urlencode({'id': self._channel, 'content': content})}"
        began = time.time()
        subprocess.run(["curl", "-sS", address], check=True, capture_output=True)
        return began

    def delays(self, content: str) -> Delays:
        """Publish, and return the time until the message was on the screen, in the first pane."""
        began = self.publish(content)
        numbered, drawn = self.drawn(content, 0)
        return Delays(drawn - began, drawn - numbered)

    def drawn(self, content: str, pane: int) -> tuple[float, float]:
        """Return the times at which Redis numbered a message and it was on the screen, in seconds since 1970."""
        numbered, drawn = until(lambda: self.page.evaluate("(key) => drawn[key]", f"{content} {pane}"), PAGE_TIMEOUT)
        return numbered / 1000, drawn / 1000

    @property
    def shown(self) -> list[list[str]]:
        """The messages of both panes, oldest first."""
        return [texts[::-1] for texts in self.page.evaluate(SHOWN)]

    @property
    def _subscribers(self) -> int:
        return int(get(self._publisher.port, "/info", id=self._channel).json["subscribers"])


def assert_promises(screen: Screen, edge: Callable[[], Service]) -> None:
    """Check how fast messages arrive; then kill the edge, and check the gap and that no message is missing."""
    rows = list(rows_until_one_is_fast(screen))
    medians = [Delays(*map(median, zip(*row, strict=True))) for row in rows]
    gap = gap_after_kill(screen, edge())
    report = [
        f"median: {1000 * one.from_curl:.1f} ms from curl, {1000 * one.from_redis:.1f} from Redis" for one in medians
    ]
    print("\n".join([*report, f"{gap:.2f} s from the kill to the screen"]))  # noqa: T201  # for pytest -rP
    sent = [f"message {row}-{number}" for row in range(len(rows)) for number in range(MESSAGES)]
    assert screen.shown == [[*sent, "after the kill"][-MAX_ROWS:]] * 2
    assert gap < RECOVERED
    assert min(medians).from_curl < ON_SCREEN


def rows_until_one_is_fast(screen: Screen) -> Iterator[list[Delays]]:
    """Publish rows of messages, and yield the time that each message took."""
    for number in range(ROWS):
        row = [screen.delays(f"message {number}-{message}") for message in range(MESSAGES)]
        yield row
        if median(one.from_curl for one in row) < ON_SCREEN:
            return


def gap_after_kill(screen: Screen, dying: Service) -> float:
    """Kill an edge, and return the seconds until the next message is on the screen in both panes."""
    killed = time.time()
    dying.kill()
    screen.publish("after the kill")
    return max(screen.drawn("after the kill", pane)[1] for pane in range(2)) - killed


def test_the_promises_hold_with_direct_connections_to_edges(cluster: Cluster, open_tab: Callable[..., Tab]) -> None:
    """As under `comet dev`: the page knows both edges."""
    tab = open_tab(cluster.publisher.url + "/")
    tab.forgive_lost_connections()
    screen = Screen(cluster, tab)

    def serving() -> Service:
        address = tab.page.locator(".address").first.inner_text()
        return next(edge for edge in cluster.edges if edge.url.endswith(address))

    assert_promises(screen, serving)


def test_the_promises_hold_behind_a_load_balancer(site: Site, open_tab: Callable[..., Tab]) -> None:
    """As deployed: the page has one address, and does not know the edges."""
    tab = open_tab(site.url + "/")
    tab.forgive_lost_connections()
    assert_promises(Screen(site.cluster, tab), site.serving)
