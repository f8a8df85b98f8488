"""The files that a benchmark leaves behind."""

import json
import sys
from pathlib import Path

import pytest

from bench.report.results_file import save


def test_numbers_are_kept_with_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib there is no chart, not even an old one, and that is said; nothing else is missing."""
    (tmp_path / "held.png").write_text("an old one")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    save(tmp_path, "held", "a title", {"CPU, µs": {"edge": 1.5, "nchan": 2}}, plan={"rounds": 3})
    kept = json.loads((tmp_path / "held.json").read_text())
    assert kept["rows"] == {"CPU, µs": {"edge": 1.5, "nchan": 2}}
    assert kept["plan"] == {"rounds": 3}
    assert kept["machine"]["cores"] > 0
    assert "optimised" in kept["machine"]["python_build"].lower()
    assert not (tmp_path / "held.png").exists()


def test_a_missing_chart_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    save(tmp_path, "held", "a title", {"CPU, µs": {"edge": 1.5}})
    assert "pip install -e '.[bench]'" in capsys.readouterr().out


def test_a_chart_is_drawn(tmp_path: Path) -> None:
    """One picture with a small chart for each row."""
    pytest.importorskip("matplotlib")
    save(tmp_path, "poll", "a title", {f"row {number}": {"edge": number, "nchan": 2} for number in range(5)})
    assert (tmp_path / "poll.png").read_bytes().startswith(b"\x89PNG")
