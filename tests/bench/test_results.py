"""What a benchmark leaves behind, and how its bars are judged."""

import json
import sys
from pathlib import Path

import pytest

from bench import results_file
from bench.report import Bar, Round, judge, medians
from bench.slow import Look, judge_looks, parse_options

MIB = 2**20


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for the results."""
    monkeypatch.setattr(results_file, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_numbers_are_kept_with_the_machine(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib there is no chart, and nothing else is missing."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    results_file.save("held", "a title", {"CPU, µs": {"edge": 1.5, "nchan": 2}}, plan={"rounds": 3})
    kept = json.loads((results / "held.json").read_text())
    assert kept["rows"] == {"CPU, µs": {"edge": 1.5, "nchan": 2}}
    assert kept["plan"] == {"rounds": 3}
    assert kept["machine"]["cores"] > 0
    assert not (results / "held.png").exists()


def test_a_chart_is_drawn(results: Path) -> None:
    """One picture with a small chart for each row."""
    pytest.importorskip("matplotlib")
    results_file.save("poll", "a title", {f"row {number}": {"edge": number, "nchan": 2} for number in range(5)})
    assert (results / "poll.png").read_bytes().startswith(b"\x89PNG")


def test_a_ratio_is_taken_within_a_round() -> None:
    """Not between medians of different rounds; and a bar about a server that did not run is not judged."""
    rounds: list[Round] = [
        {"edge": {"burst": 1.0}, "nchan": {"burst": 10.0}},
        {"edge": {"burst": 9.0}, "nchan": {"burst": 10.0}},
        {"edge": {"burst": 2.0}, "nchan": {"burst": 2.0}},
    ]
    assert medians(rounds)["edge"]["burst"] == 2.0
    verdicts = judge([Bar("burst", 0.5, "nchan"), Bar("burst", 3.0), Bar("burst", 1.0, "reference")], rounds)
    assert [verdict.ok for verdict in verdicts] == [False, True]
    assert "0.90 times nchan" in verdicts[0].line


def test_the_cut_is_timed_from_the_first_parked_bytes() -> None:
    """The kernel's own buffers fill first."""
    options = parse_options(["--stuck", "100"])
    looks = [Look(0, 200, 0), Look(5, 200, 0), Look(6, 200, MIB), Look(12, 150, 3 * MIB), Look(14, 100, MIB)]
    assert judge_looks(looks, 100, options) == (100, 14, 8, 3 * MIB, MIB)


def test_who_is_never_cut_has_no_time() -> None:
    """And the run goes on to its end."""
    options = parse_options(["--stuck", "100"])
    assert judge_looks([Look(0, 200, 0), Look(40, 200, MIB)], 100, options) == (0, None, None, MIB, MIB)
