"""Messages that try to break out of the script that carries them: a page gets their exact text, and runs none of it."""

from collections.abc import Callable

import pytest

from tests.browser.conftest import Tab
from tests.browser.site import Site
from tests.browser.subscriber import BLANK, PAGE_TIMEOUT, Subscriber
from tests.cluster.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

CHANNEL = "injection<script>top.pwned=1</script>"
EVIL = "top.pwned=1"
PAYLOADS = [
    f"</script><script>{EVIL}</script>",
    f"</SCRIPT ><img src=x onerror={EVIL}>",
    f"<!--<script>{EVIL}//",
    "<!-- <script> -->",
    f"]]>{EVIL}<![CDATA[",
    f"\u2028{EVIL}\u2029{EVIL}\u2028",
    f'"}});{EVIL};//',
    f"'+({EVIL})+'",
    f"`${{{EVIL}}}`",
    f'\\"}});{EVIL};//',
    "\\",
    f"\\u003c/script\\u003e\\u003cscript\\u003e{EVIL}\\u003c/script\\u003e",
    f"&lt;/script&gt;&lt;script&gt;{EVIL}&lt;/script&gt;",
    f"\r\n\r\n{EVIL}\r\n",
    f"\x00\x1b\x7f\u0085\ufeff{EVIL}",
    "\U0001f98a\ud7ff\ue000",
    "__proto__",
    "",
    " ",
]
RUN = "() => [window, ...[...document.querySelectorAll('iframe')].map((one) => one.contentWindow)].some((w) => w.pwned)"


@pytest.mark.parametrize("transport", ["iframe", "jsonp"])
def test_nothing_in_a_message_is_run(site: Site, open_tab: Callable[..., Tab], transport: str) -> None:
    """Tags, comments, separators, quotes and escapes arrive unchanged; the channel's name is a script, too."""
    page = Subscriber(open_tab(site.url + BLANK), transport, CHANNEL)
    page.is_on(CHANNEL)
    for payload in PAYLOADS:
        site.publish(CHANNEL, payload)
    until(lambda: len(page.heard) >= len(PAYLOADS), PAGE_TIMEOUT)
    assert page.heard == [[CHANNEL, payload] for payload in PAYLOADS]
    assert not page.tab.page.evaluate(RUN)
