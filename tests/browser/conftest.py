"""A real Chromium, pages that tell of every error, and a cluster to open them against."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.cluster.processes import ROOT, Cluster
from tests.cluster.running import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
SCREENSHOTS = ROOT / ".screenshots"
SETTINGS = {"COMET_AUDIT": "1"}


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Yield Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # of the extra `system`

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster whose edges a test may kill; it starts them again."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), **SETTINGS)) as cluster:
        yield cluster
