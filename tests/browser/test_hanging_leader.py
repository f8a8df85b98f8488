"""A tab that hangs while it holds the connection of all tabs: the others hear again soon, and it follows afterwards."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Tab
from tests.browser.subscriber import BLANK, PAGE, PAGE_TIMEOUT
from tests.cluster.processes import HOST, Cluster
from tests.cluster.waiting import until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Dialog, Page

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

SCRIPT = Path(__file__).with_name("hanging.js")
NOTICED = 5.0  # seconds from the hang until another tab leads
LOOP = 20.0  # seconds
PAUSE = 0.1  # seconds between two messages
IDLE = 12.0  # seconds

_numbers = count(1)


class Sharer:
    """A tab that shares one connection with the other tabs of its profile."""

    def __init__(self, tab: Tab, edge: str, *channels: str) -> None:
        self.page = tab.page
        self.page.set_content(PAGE)
        self.page.add_script_tag(path=SCRIPT)
        self.page.evaluate("(args) => share(...args)", [edge, *channels])
        until(lambda: self.look("Object.values(comet.positions).every(Boolean)"), PAGE_TIMEOUT)

    def look(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        return self.page.evaluate(f"() => {expression}")

    @property
    def follows(self) -> bool:
        """Whether another tab holds the connection."""
        return bool(self.look("comet.state.shared"))

    def heard(self, channel: str) -> list[str]:
        """Return what the tab has got of a channel, in order."""
        return [content for id, content in self.look("heard") if id == channel]


class Numbers(threading.Thread):
    """Publishes 0, 1, 2 … to a channel until it is stopped."""

    def __init__(self, cluster: Cluster, channel: str) -> None:
        super().__init__()
        self._cluster = cluster
        self.channel = channel
        self._stopping = threading.Event()
        self.published: list[str] = []

    def run(self) -> None:
        """Publish one number after the other."""
        while not self._stopping.wait(PAUSE):
            self._cluster.publish(self.channel, number := str(len(self.published)))
            self.published.append(number)

    def wait_for_more(self) -> None:
        """Return when ten more numbers are published."""
        before = len(self.published)
        until(lambda: len(self.published) >= before + 10)

    def stop(self) -> None:
        """End, after the number that is under way."""
        self._stopping.set()
        self.join()


@contextmanager
def publishing_numbers(cluster: Cluster, *channels: str) -> Iterator[list[Numbers]]:
    """Publish to each channel while the block runs."""
    threads = [Numbers(cluster, channel) for channel in channels]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        for thread in threads:
            thread.stop()


@pytest.fixture
def open_sharers(
    cluster: Cluster, open_tab: Callable[..., Tab], new_context: Callable[..., "BrowserContext"]
) -> Callable[..., list[Sharer]]:
    """Return a function that opens tabs of one profile; each subscribes to a common channel and to one of its own."""

    def open_all(count: int, channel: str) -> list[Sharer]:
        context, page = new_context(), f"http://{HOST}:{cluster.publisher.port}{BLANK}"
        edge = cluster.edges[0].url
        return [Sharer(open_tab(page, context), edge, channel, f"{channel}-{number}") for number in range(count)]

    return open_all


def wait_for_new_leader(tabs: list[Sharer], hung_at: float) -> float:
    """Return how many seconds after the hang the first of these tabs led."""
    until(lambda: not all(tab.follows for tab in tabs), PAGE_TIMEOUT)
    return float(max(tab.look("led") for tab in tabs)) / 1000 - hung_at


def assert_all_heard(tabs: list[Sharer], publishing: list[Numbers]) -> None:
    """Each tab gets every number of its channels once and in order, and nothing else."""
    common, *own = publishing
    for tab, its_own in zip(tabs, own, strict=True):
        for numbers in (common, its_own):
            channel, published = numbers.channel, numbers.published
            until(lambda tab=tab, id=channel, last=published[-1]: last in tab.heard(id), PAGE_TIMEOUT)
            assert tab.heard(channel) == published


def test_a_leader_in_a_long_loop_is_replaced_and_follows_afterwards(
    cluster: Cluster, open_sharers: Callable[..., list[Sharer]]
) -> None:
    """The other tabs hear again within 5 seconds, and each message is in every tab once and in order."""
    channel = f"loop-{next(_numbers)}"
    tabs = open_sharers(3, channel)
    leader, *others = tabs
    assert [tab.follows for tab in tabs] == [False, True, True]
    with publishing_numbers(cluster, channel, *(f"{channel}-{number}" for number in range(3))) as publishing:
        until(lambda: len(others[0].heard(channel)) > 2)
        hung_at = time.time()
        leader.page.evaluate(f"() => loop({LOOP * 1000})")
        noticed = wait_for_new_leader(others, hung_at)
        print(f"another tab leads {noticed:.2f} s after the hang")  # noqa: T201
        assert noticed < NOTICED
        now = len(publishing[0].published)
        for tab in others:
            until(lambda tab=tab: len(tab.heard(channel)) > now)
        assert time.time() - hung_at < LOOP, "the loop was over before the others heard"
        until(lambda: leader.follows, LOOP + PAGE_TIMEOUT)
        assert sorted(tab.follows for tab in tabs) == [False, True, True]
        publishing[0].wait_for_more()  # the tabs after the handover back
    assert_all_heard(tabs, publishing)


def dialog(page: "Page", call: str) -> Callable[[], None]:
    """Open a dialog; return what closes it."""
    dialogs: list[Dialog] = []

    def leave_open(dialog: "Dialog") -> None:
        dialogs.append(dialog)

    def dismiss() -> None:
        dialogs[0].dismiss()

    page.on("dialog", leave_open)  # without a listener Playwright closes it
    page.evaluate(f"() => {{ setTimeout(() => {call}); }}")
    return dismiss


def debugger(page: "Page") -> Callable[[], None]:
    """Stop the scripts of a page as a debugger does; return what lets them go on."""
    session = page.context.new_cdp_session(page)
    session.send("Debugger.enable")
    page.evaluate("() => { setTimeout(() => { debugger; }); }")
    return session.detach


@pytest.mark.parametrize(
    "hang",
    [
        pytest.param(lambda page: dialog(page, "alert('read this')"), id="alert"),
        pytest.param(lambda page: dialog(page, "confirm('sure?')"), id="confirm"),
        pytest.param(debugger, id="debugger"),
    ],
)
def test_a_leader_that_is_stopped_is_replaced_and_follows_afterwards(
    cluster: Cluster, open_sharers: Callable[..., list[Sharer]], hang: Callable[["Page"], Callable[[], None]]
) -> None:
    """An open dialog and a debugger hold up nothing but their own tab. (Headless Chromium opens no print dialog.)"""
    channel = f"stopped-{next(_numbers)}"
    tabs = open_sharers(2, channel)
    leader, other = tabs
    with publishing_numbers(cluster, channel, *(f"{channel}-{number}" for number in range(2))) as publishing:
        until(lambda: len(other.heard(channel)) > 2)
        hung_at = time.time()
        go_on = hang(leader.page)
        noticed = wait_for_new_leader([other], hung_at)
        print(f"another tab leads {noticed:.2f} s after the stop")  # noqa: T201
        assert noticed < NOTICED
        now = len(publishing[0].published)
        until(lambda: len(other.heard(channel)) > now)
        go_on()
        until(lambda: leader.follows, PAGE_TIMEOUT)
        assert not other.follows
        publishing[0].wait_for_more()  # the tabs after the handover back
    assert_all_heard(tabs, publishing)


def test_idle_tabs_ask_the_leader_seldom(cluster: Cluster, open_sharers: Callable[..., list[Sharer]]) -> None:
    """Five followers together ask once in two to three seconds, and only while nothing else comes."""
    channel = f"idle-{next(_numbers)}"
    tabs = open_sharers(6, channel)
    session = tabs[0].look("comet.state.session")
    until(lambda: sum("wish" in each for each in tabs[0].look("told")[-2:]) <= 1)
    before = len(tabs[1].look("told"))
    tabs[1].page.wait_for_timeout(IDLE * 1000)
    told = tabs[1].look("told")[before:]
    answers = [each for each in told if "heard" in each]
    print(f"{len(told)} messages between 6 idle tabs in {IDLE} s")  # noqa: T201
    assert IDLE / 4 <= len(answers) <= IDLE / 1.5
    assert not [each for each in told if "state" in each or "objects" in each]
    assert [tab.follows for tab in tabs] == [False, True, True, True, True, True]
    assert tabs[0].look("comet.state.session") == session
