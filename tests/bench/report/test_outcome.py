"""How a benchmark ends: its bars are judged, shown and kept."""

import json
from pathlib import Path

import pytest

from bench.report.checks import at_most, equal
from bench.report.outcome import conclude
from bench.report.plan import Plan


def test_a_missed_bar_ends_with_1_if_that_matters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each bar is shown with what was measured, the limit and the verdict."""
    rows = {"CPU, µs": {"edge": 1.5}}
    checks = [at_most("CPU, µs", 1.5, 1.2), equal("lost", 0, 0), at_most("time to the cut, s", None, 10)]
    codes = [
        conclude("held", "a title", Plan(strict=strict, results=tmp_path), rows, checks) for strict in (False, True)
    ]
    assert codes == [0, 1]
    printed = capsys.readouterr().out
    for line in (
        "MISSED  CPU, µs: 1.5, at most 1.2",
        "ok      lost: 0, must be 0",
        "MISSED  time to the cut, s: never, at most 10",
    ):
        assert line in printed
    kept = json.loads((tmp_path / "held.json").read_text())
    assert (kept["verdict"], [bar["ok"] for bar in kept["bars"]]) == ("MISSED", [False, True, False])
    assert conclude("held", "a title", Plan(strict=True, results=tmp_path), rows, checks[1:2]) == 0
    assert json.loads((tmp_path / "held.json").read_text())["verdict"] == "ok"
