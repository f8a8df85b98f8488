"""How long a message takes from `/pub` to the screen, and how long a killed edge is felt: `python -m bench.screen`.

Chromium and the cluster run here, so one clock reads both ends. The page is looked at from inside: an observer notes
when a row has been added, and a frame later it is drawn.
"""

import http.client
import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import until

MESSAGES = 50
KILLS = 5
DRAWN = """() => { globalThis.drawn = new Map();
  const note = (row) => requestAnimationFrame(() => setTimeout(() =>
    drawn.set(row.cells[1].textContent, performance.timeOrigin + performance.now())));
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(note)))
    .observe(document.querySelector("tbody"), { childList: true }); }"""


def publish(cluster: Cluster, content: str) -> float:
    """Publish by HTTP, on a connection of its own as curl does; return when that began, in seconds since 1970."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.publisher.port)
    began = time.time()
    connection.request("GET", f"/pub?id=demo:bench&content={content}")
    connection.getresponse().read()  # 404 while no subscriber is connected: the message is kept all the same
    connection.close()
    return began


def seconds_to_screen(page: Page, content: str, began: float) -> float:
    """Return the seconds from then until the first pane had drawn the message."""
    drawn: float = until(lambda: page.evaluate("(content) => drawn.get(content)", content))
    return drawn / 1000 - began


def open_page(page: Page, url: str) -> None:
    """Open the demo, quiet, its first pane on our channel."""
    page.goto(url)
    page.get_by_label("one every second").uncheck()
    pane = page.locator("section.pane").first
    pane.get_by_label("Channel").fill("demo:bench")
    pane.get_by_label("Channel").press("Tab")
    pane.locator(".state", has_text="open").wait_for()
    time.sleep(1)
    page.evaluate(DRAWN)


def measure_delays(cluster: Cluster, page: Page) -> None:
    """Print the times from `/pub` to the screen."""
    delays = []
    for number in range(MESSAGES):
        began = publish(cluster, f"message-{number}")
        delays.append(1000 * seconds_to_screen(page, f"message-{number}", began))
    print(f"/pub to screen, {MESSAGES} messages: median {median(delays):.1f} ms, worst {max(delays):.1f} ms")


def measure_gaps(cluster: Cluster, page: Page) -> None:
    """Print the times to the screen of messages that are published when the page's edge has just been killed."""
    gaps = []
    for number in range(KILLS):
        address = page.locator(".address").first.inner_text()
        edge = next(each for each in cluster.edges if each.url.endswith(address))
        edge.kill()
        began = publish(cluster, f"kill-{number}")
        gaps.append(seconds_to_screen(page, f"kill-{number}", began))
        edge.start()
        cluster.wait_ready()
    print(f"edge killed, next message on screen, {KILLS} times: median {median(gaps):.2f} s, worst {max(gaps):.2f} s")


def check_pane(page: Page) -> None:
    """Print whether the page shows every message once."""
    texts = page.locator("section.pane").first.locator("tbody td:nth-child(2)").all_inner_texts()[::-1]
    expected = [f"message-{number}" for number in range(MESSAGES)] + [f"kill-{number}" for number in range(KILLS)]
    print("lost or twice:", "none" if texts == expected else texts)


def main() -> None:
    """Run the cluster and the browser for both measurements."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Cluster(Path(folder), COMET_DEMO="1")) as cluster,
        sync_playwright() as it,
    ):
        browser = it.chromium.launch(executable_path=CHROMIUM, headless=True, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        open_page(page, cluster.publisher.url + "/")
        measure_delays(cluster, page)
        measure_gaps(cluster, page)
        check_pane(page)
        browser.close()


if __name__ == "__main__":
    main()
