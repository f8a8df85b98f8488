"""The tables of all metrics, made from the series themselves: `comet config metrics` prints them."""

from collections.abc import Sequence

from common.metrics import Series
from edge.series import OF_AN_EDGE
from publisher.series import OF_A_PUBLISHER

HEAD = "| name | type | labels | meaning | when to worry |\n|---|---|---|---|---|\n"


def metrics_tables() -> str:
    """Return two sections of Markdown: what an edge shows, and what a publisher shows."""
    return f"## Edge\n\n{_table(OF_AN_EDGE)}\n## Publisher\n\n{_table(OF_A_PUBLISHER)}"


def _table(series: Sequence[Series]) -> str:
    return HEAD + "".join(map(_row, series))


def _row(series: Series) -> str:
    cells = [f"`{series.name}`", series.kind, _labels(series), series.meaning, series.worry]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"


def _labels(series: Series) -> str:
    return ", ".join(f"`{label}`" for label in series.labels)
