"""All benchmarks, one after the other."""

from rich.console import Console

from bench.all import tabulate


def test_one_table_shows_the_bars_of_all() -> None:
    """A benchmark that failed is not passed over."""
    bar = {"what": "lost", "value": 2, "limit": 0, "exact": True, "ok": False}
    console = Console(width=200, record=True)
    console.print(tabulate([("storm", {"bars": [bar], "verdict": "MISSED"}), ("rooms", None)]))
    lines = [line.split("│")[1:-1] for line in console.export_text().splitlines() if "│" in line]
    assert [[word.strip() for word in line] for line in lines] == [
        ["storm", "lost", "2", "= 0", "MISSED"],
        ["rooms", "it runs to its end", "", "", "FAILED"],
    ]
