"""The tables of docs/settings.md and docs/metrics.md, made from the code; `comet config` prints them."""

from collections.abc import Sequence

from pydantic.fields import FieldInfo

from common.metrics.fields import series_of
from common.metrics.series import OF_EVERY_PROCESS, Series
from common.settings import PREFIX, Settings
from common.settings_help import allowed
from edge.counters import Counters as EdgeCounters
from edge.metrics import Gauges as EdgeGauges
from publisher.metrics import Counters, Gauges

SETTINGS_HEAD = "| setting | default | value | meaning |\n|---|---|---|---|\n"
METRICS_HEAD = "| name | type | labels | meaning | when to worry |\n|---|---|---|---|---|\n"


def settings_table() -> str:
    """Return a Markdown table with one row for each setting."""
    return SETTINGS_HEAD + "".join(_setting_row(name, field) for name, field in Settings.model_fields.items())


def metrics_tables() -> str:
    """Return two sections of Markdown: the metrics of an edge, and those of a publisher."""
    of_an_edge = (*series_of(EdgeGauges), *series_of(EdgeCounters))
    of_a_publisher = (*series_of(Counters), *series_of(Gauges))
    return f"## Edge\n\n{_metrics_table(of_an_edge)}\n## Publisher\n\n{_metrics_table(of_a_publisher)}"


def _setting_row(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {allowed(name, field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    default = int(field.default) if isinstance(field.default, bool) else field.default
    if isinstance(default, tuple):
        default = ",".join(default)
    return "empty" if default == "" else f"`{default}`"


def _metrics_table(series: Sequence[Series]) -> str:
    """Return the table of one kind of process: its own series first, then those of every process."""
    own = [each for each in series if each not in OF_EVERY_PROCESS]
    return METRICS_HEAD + "".join(map(_metric_row, (*own, *OF_EVERY_PROCESS)))


def _metric_row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    cells = [f"`{series.name}`", series.kind, labels, series.meaning, series.worry]
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|\n"
