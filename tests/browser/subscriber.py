"""Pages that subscribe: by every transport, in Chromium, from whatever origin."""

from pathlib import Path
from typing import Any

from tests.browser.conftest import Tab
from tests.cluster.waiting import until

TRANSPORTS = ("ws", "sse", "stream", "poll", "jsonp", "iframe")
SCRIPT = Path(__file__).with_name("subscriber.js")
# A file of the publisher: a page of its origin that has no content security policy, which would forbid frames.
BLANK = "/static/comet.js"
PAGE = f'<!doctype html><title>subscriber</title><script src="{BLANK}"></script><ol></ol>'
PATIENCE = 20.0  # seconds: a browser's pauses before it comes back, on a machine that does ten other things


class Subscriber:
    """A tab that becomes a page of its origin and subscribes; `edges` is where they are, if not there, too."""

    def __init__(self, tab: Tab, transport: str, *channels: str, edges: str = "") -> None:
        self.tab = tab
        tab.page.set_content(PAGE)
        tab.page.add_script_tag(path=SCRIPT)
        tab.page.evaluate(
            "([edges, ...rest]) => subscribe(edges || location.origin, ...rest)", [edges, transport, *channels]
        )

    @property
    def heard(self) -> list[list[str]]:
        """What it heard so far: channel and content."""
        return self._look("heard")

    @property
    def opened(self) -> list[str]:
        """The session of each connection that it had so far; that of a poll has no name."""
        return self._look("opened")

    def hears(self, channel: str, content: str) -> None:
        """Wait until it has heard a message."""
        until(lambda: [channel, content] in self.heard, PATIENCE)

    def is_on(self, *channels: str) -> None:
        """Wait until it is subscribed to exactly these channels, and has its position in each."""
        until(lambda: {id for id, seq in self._look("positions()").items() if seq} == {*channels}, PATIENCE)

    def change(self, add: str, drop: str) -> None:
        """Subscribe to one channel and leave another, on the connection that is held."""
        self.tab.page.evaluate("([add, drop]) => { subscriber.change(add, drop); }", [add, drop])

    def _look(self, expression: str) -> Any:
        return self.tab.page.evaluate(f"() => {expression}")
