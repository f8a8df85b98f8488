"""A real Chromium, tabs that remember every error, and a cluster to open them against."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.processes import ROOT, Cluster
from tests.cluster.running import running

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
]
NO_PLAYWRIGHT = "no playwright: pip install -e '.[system]' (as make test-system does)"
SCREENSHOTS = ROOT / ".screenshots"
SETTINGS = {"COMET_AUDIT": "1"}
LOST = re.compile(r"net::ERR_|WebSocket connection to .* failed")


class Tab:
    """One page, everything that went wrong in it, and every address it asked."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)

    def forgive_lost_connections(self) -> None:
        """Forget that connections were lost: the browser logs each one, also those that a test has cut."""
        self.errors = [error for error in self.errors if not LOST.search(error)]

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _on_request(self, request: "Request") -> None:
        self.asked.append(request.url)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Yield Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the extra `system`

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: "Browser") -> Iterator[Callable[..., "BrowserContext"]]:
    """Yield a function that makes a browser profile of its own; viewport, colours and such are Playwright's options."""
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
    """Yield a function that opens a URL, in a profile of its own or a given one.

    After the test each tab is photographed, and one that logged an error fails it.
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
    assert [error for tab in tabs for error in tab.errors] == []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster whose edges a test may kill, if it starts them again."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster
