"""Pages in Chromium that subscribe: by every transport, from any origin."""

from pathlib import Path
from typing import Any

from tests.browser.conftest import Tab
from tests.cluster.waiting import until

TRANSPORTS = ("ws", "sse", "stream", "poll", "jsonp", "iframe")
SCRIPT = Path(__file__).with_name("subscriber.js")
# A file of the publisher, as a page of its origin without a content security policy, which would forbid frames.
BLANK = "/static/comet.js"
PAGE = f'<!doctype html><title>subscriber</title><script src="{BLANK}"></script><ol></ol>'
PAGE_TIMEOUT = 20.0  # seconds: the pauses before a browser reconnects, on a loaded machine


class Subscriber:
    """A tab that subscribes as a page of its origin; `edges` is the address of the edges, by default that origin."""

    def __init__(self, tab: Tab, transport: str, *channels: str, edges: str = "") -> None:
        self.tab = tab
        tab.page.set_content(PAGE)
        tab.page.add_script_tag(path=SCRIPT)
        tab.page.evaluate(
            "([edges, ...rest]) => subscribe(edges || location.origin, ...rest)", [edges, transport, *channels]
        )

    @property
    def heard(self) -> list[list[str]]:
        """The messages that it got so far: channel and content."""
        return self._look("heard")

    @property
    def opened(self) -> list[str]:
        """The session of each connection that it had so far; a poll's is empty."""
        return self._look("opened")

    def hears(self, channel: str, content: str) -> None:
        """Wait until it has got a message."""
        until(lambda: [channel, content] in self.heard, PAGE_TIMEOUT)

    def is_on(self, *channels: str) -> None:
        """Wait until it is subscribed to exactly these channels, and has its position in each."""
        until(lambda: {id for id, seq in self._look("positions()").items() if seq} == {*channels}, PAGE_TIMEOUT)

    def change(self, add: str, drop: str) -> None:
        """Subscribe to one channel and leave another, on the connection that is held."""
        self.tab.page.evaluate("([add, drop]) => { subscriber.change(add, drop); }", [add, drop])

    def _look(self, expression: str) -> Any:
        return self.tab.page.evaluate(f"() => {expression}")
