"""Pages that send cookies to the edges, and headers that tracers add, in a real Chromium."""

from collections.abc import Callable

import pytest

from tests.browser.conftest import Tab
from tests.browser.subscriber import BLANK
from tests.browser.test_origins import REFUSED, Guarded, guarded

__all__ = ["guarded"]  # the fixture: an edge with a list of origins

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]  # seconds, for Chromium on a loaded machine

EVENTS = """(url) => new Promise((done) => {
  const source = new EventSource(`${url}/sse?id=room`, { withCredentials: true });
  source.addEventListener("welcome", () => done("open"));
  source.onerror = () => source.readyState === EventSource.CLOSED && done("refused");
})"""
FETCH = """(url) => fetch(`${url}/poll?id=room&timeout=0`, {
  credentials: "include",
  headers: { traceparent: "00-1-1-00", baggage: "a=b", "X-Requested-With": "XMLHttpRequest", "Last-Event-ID": "0" },
}).then(async (answer) => ((await answer.json()).messages ? "open" : "wrong"), () => "refused")"""
CHANGE = """(url) => new Promise((done) => {
  const source = new EventSource(`${url}/sse?id=room`, { withCredentials: true });
  source.onerror = () => source.readyState === EventSource.CLOSED && done("refused");
  source.addEventListener("welcome", ({ data }) => {
    const headers = { "Comet-Session": JSON.parse(data).session };
    const init = { method: "POST", credentials: "include", headers, body: '[{"op":"ping"}]' };
    fetch(`${url}/sub`, init).then((answer) => done(answer.ok ? "open" : "wrong"), () => done("refused"));
  });
})"""


@pytest.mark.parametrize("script", [EVENTS, FETCH, CHANGE], ids=["EventSource", "fetch", "a change"])
def test_a_page_on_the_list_may_send_credentials(
    guarded: Guarded,  # pytest's way to use a fixture of another file
    open_tab: Callable[..., Tab],
    script: str,
) -> None:
    """The browser takes the answer, after a preflight that allows every header; a foreign page gets none."""
    home, foreign = (open_tab(origin + BLANK) for origin in (guarded.home, guarded.foreign))
    assert home.page.evaluate(script, guarded.edge.url) == "open"
    assert foreign.page.evaluate(script, guarded.edge.url) == "refused"
    foreign.forgive(REFUSED)
    foreign.forgive_lost_connections()
