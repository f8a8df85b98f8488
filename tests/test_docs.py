"""The documentation says what the code does: settings, metrics, log lines, links (its tables: tests/comet)."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from common.metrics.fields import FieldCollector
from common.service.process import register_process
from common.settings import PREFIX, Settings
from edge.counters import Counters
from edge.metrics import Gauges
from publisher import metrics as publisher_metrics

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
METRIC_ROW = re.compile(r"^\| `((?:comet|process)_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
LOG_ROW = re.compile(r"^\| (`[^|]+`) \| (?:info|warning|error) \|", re.MULTILINE)
Series = tuple[str, str, frozenset[str]]


def title(page: Path) -> str:
    """Name a page in a test's name."""
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A relative link names a file of the repository, and a heading that is in it."""
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_variable_that_is_named_exists(page: Path) -> None:
    """A page names no setting, of ours or of compose.yaml, that is none; `COMET_HISTORY_*` is all that begin so."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    known += re.findall(r"\$\{(COMET_[A-Z_]+)", (ROOT / "compose.yaml").read_text())  # what Compose itself reads
    text = page.read_text().replace("COMET_EDGEPORT", "")  # the settings page shows what a slip gives
    for name, star in re.findall(r"\b(COMET_[A-Z][A-Z_]*)(\*?)", text):
        assert name in known or (star and any(each.startswith(name) for each in known)), name


def edge_series() -> Iterator[Metric]:
    """Yield what an edge exposes after each counter has counted something."""
    counters = Counters()
    counters.opened("sse")
    counters.closed_total["sse", "client"] += 1
    counters.delivered("sse", 1, 100)
    counted = (
        counters.limited_total,
        counters.dropped_total,
        counters.repairs_total,
        counters.replays_total,
        counters.not_adopted_total,
    )
    for by_word in (*counted, counters.control_total):
        by_word["word"] += 1
    counters.refused_total[400] += 1
    registry = CollectorRegistry()
    gauges = Gauges(
        connections={"sse": 1},
        limit=1,
        channels=0,
        subscriptions=0,
        parked_bytes=0,
        input_bytes=0,
        redis_up=True,
        redis_reconnects=0,
        draining=False,
        key_uses={"ops": 1},
    )
    registry.register(FieldCollector(counters, lambda: gauges))
    register_process(registry)
    yield from registry.collect()


def publisher_series() -> Iterator[Metric]:
    """Yield what a publisher exposes after one message."""
    counters = publisher_metrics.Counters()
    counters.published(200)
    gauges = publisher_metrics.Gauges(
        receipts_ignored=0, tails=0, redis_up=True, redis_reconnects=0, draining=False, key_uses={"shop": 1}
    )
    registry = CollectorRegistry()
    registry.register(FieldCollector(counters, lambda: gauges))
    register_process(registry)
    yield from registry.collect()


def exposed(series: Iterator[Metric]) -> set[Series]:
    """Return name, type and labels of each series, named as Prometheus shows them."""
    found: set[Series] = set()
    for metric in series:
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        name = metric.name + ("_total" if metric.type == "counter" else "")
        found.add((name, metric.type, frozenset(labels)))
    return found


def documented(section: str) -> set[Series]:
    """Return name, type and labels of each row in one section of the metrics page."""
    text = (DOCS / "metrics.md").read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return {(name, kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in METRIC_ROW.findall(text)}


@pytest.mark.parametrize(("section", "series"), [("Edge", edge_series), ("Publisher", publisher_series)])
def test_the_metrics_page_lists_exactly_what_is_exposed(section: str, series: Callable[[], Iterator[Metric]]) -> None:
    """Every series is on the page with its type, its labels and its HELP text, and nothing else is."""
    assert documented(section) == exposed(series())
    page = (DOCS / "metrics.md").read_text()
    assert [metric.name for metric in series() if f"| {metric.documentation} |" not in page] == []


def test_every_log_line_of_the_operations_page_is_in_the_code() -> None:
    """A line that an operator looks up at three in the morning is worded as the process words it."""
    files = [path for package in ("common", "edge", "publisher") for path in (ROOT / package).rglob("*.py")]
    code = "".join(path.read_text() for path in files).replace("{kind}", "stored")
    lines = re.findall(r"`([^`]+)`", " ".join(LOG_ROW.findall((DOCS / "operations.md").read_text())))
    assert len(lines) > 10
    for line in lines:
        assert line.strip("… ") in code, line
