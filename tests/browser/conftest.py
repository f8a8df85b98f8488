"""A real Chromium, tabs that record every error, and a cluster for them."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.site import SETTINGS as SITE_SETTINGS
from tests.browser.site import Site
from tests.cluster.processes import ROOT, Cluster
from tests.cluster.running import running
from tests.lb.balancers import Balancer, edges_behind
from tests.lb.conftest import EACH, balancing, pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]  # shows the processes' logs here, too

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.test 127.0.0.1",  # under these names, unlike localhost, a page is no secure context
]
NO_PLAYWRIGHT = "no playwright: pip install -e '.[system]' (as make test-system does)"
SCREENSHOTS = ROOT / ".screenshots"
SETTINGS = {"COMET_AUDIT": "1", "COMET_DEMO": "1"}
FRONTS = EACH[:2]  # nginx and HAProxy
LOST = re.compile(r"net::ERR_|WebSocket connection to .* failed")


class Tab:
    """One page, its errors, and every address that it requested."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._forgiven: list[re.Pattern[str]] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)

    @property
    def faults(self) -> list[str]:
        """The errors that the test did not forgive."""
        return [error for error in self.errors if not any(pattern.search(error) for pattern in self._forgiven)]

    def forgive(self, pattern: re.Pattern[str]) -> None:
        """Accept errors that the test itself causes; the browser may log them a little later."""
        self._forgiven.append(pattern)

    def forgive_lost_connections(self) -> None:
        """Accept lost connections: the browser logs each one, also those that a test has cut."""
        self.forgive(LOST)

    def _on_console(self, message: "ConsoleMessage") -> None:
        is_favicon = message.location["url"].endswith("/favicon.ico")  # which the browser requests by itself
        if message.type in {"error", "warning"} and not is_favicon:
            self.errors.append(message.text)

    def _on_request(self, request: "Request") -> None:
        self.asked.append(request.url)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Yield a Chromium without a window."""
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is missing: apt-get install chromium")
    sync_playwright = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: "Browser") -> Iterator[Callable[..., "BrowserContext"]]:
    """Yield a function that makes a new browser profile; it takes Playwright's options, such as the viewport."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> "BrowserContext":
        contexts.append(chromium.new_context(**options))
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def open_tab(
    new_context: Callable[..., "BrowserContext"], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Tab]]:
    """Yield a function that opens a URL, in a new profile or a given one.

    After the test a screenshot of each tab is taken, and a tab that logged an error fails the test.
    """
    tabs: list[Tab] = []

    def open_one(url: str, context: "BrowserContext | None" = None, **options: Any) -> Tab:
        tab = Tab((context or new_context(**options)).new_page())
        tabs.append(tab)
        tab.page.goto(url)
        return tab

    yield open_one
    SCREENSHOTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "-", request.node.name)
    for number, tab in enumerate(tabs):
        if not tab.page.is_closed():
            tab.page.screenshot(path=SCREENSHOTS / f"{name}-{number}.png")
    assert [fault for tab in tabs for fault in tab.faults] == []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster whose edges a test may kill if it starts them again."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield the edges and the publisher behind all sites."""
    with running(edges_behind(tmp_path_factory.mktemp("edges"), **SITE_SETTINGS)) as cluster:
        yield cluster
        for service in cluster.services:
            service.kill()  # no client is left that a drain would serve


@pytest.fixture(scope="session", params=FRONTS)
def balancer(
    request: pytest.FixtureRequest, edges: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Balancer]:
    """Yield nginx and HAProxy, each with its shipped configuration, and the demo switched on."""
    with balancing(request.param(tmp_path_factory.mktemp("lb"), edges.edges, edges.publisher, demo="1")) as balancer:
        yield balancer


@pytest.fixture
def site(edges: Cluster, balancer: Balancer) -> Site:
    """Return a site whose edges a test may end; edges that an earlier test ended run again."""
    site = Site(edges, balancer)
    site.restore()
    return site
