"""The tables that `comet config` prints stand in the documentation."""

from pathlib import Path

from comet.reference_tables import metrics_tables, settings_table

DOCS = Path(__file__).parents[2] / "docs"


def test_the_settings_page_holds_the_table_that_the_settings_make() -> None:
    """When this fails, put what `comet config docs` prints into docs/settings.md."""
    assert f"\n\n{settings_table()}" in (DOCS / "settings.md").read_text()


def test_the_metrics_page_holds_the_tables_that_the_series_make() -> None:
    """When this fails, put what `comet config metrics` prints into docs/metrics.md."""
    assert f"\n\n{metrics_tables()}\n" in (DOCS / "metrics.md").read_text()
