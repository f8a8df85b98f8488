"""What a benchmark leaves behind, and how its bars are judged."""

import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bench.all import tabulate
from bench.report.costs import Bar, Round, judge, medians
from bench.report.outcome import at_most, conclude, equal
from bench.report.plan import Plan, PlanWithPeers, read_plan
from bench.report.results_file import save
from bench.servers.leftovers import Leftovers, worst
from bench.servers.metrics import parse_metrics
from bench.slow.inspect import Look, judge_looks
from bench.system.machine import describe

MIB = 2**20


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
    """Who looks for it reads what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    save(tmp_path, "held", "a title", {"CPU, µs": {"edge": 1.5}})
    assert "pip install -e '.[bench]'" in capsys.readouterr().out


def test_a_chart_is_drawn(tmp_path: Path) -> None:
    """One picture with a small chart for each row."""
    pytest.importorskip("matplotlib")
    save(tmp_path, "poll", "a title", {f"row {number}": {"edge": number, "nchan": 2} for number in range(5)})
    assert (tmp_path / "poll.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "debian", "expected"),
    [
        ("'--enable-shared' '--enable-optimizations'", False, "optimised (--enable-optimizations)"),
        ("'--enable-shared'", True, "optimised (Debian's build)"),
        ("'--enable-shared'", False, "NOT OPTIMISED"),
    ],
)
def test_it_is_said_how_python_was_built(arguments: str, debian: bool, expected: str) -> None:
    """One that is not optimised makes every figure worse."""
    assert describe(arguments, debian=debian).startswith(expected)


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


def test_every_field_of_a_plan_is_an_option() -> None:
    """Of its own kind; those that every benchmark has are among them."""
    plan = read_plan("held", None, PlanWithPeers(), ["--rounds", "2", "--no-peers", "--strict", "--results", "there"])
    assert plan == PlanWithPeers(rounds=2, peers=False, strict=True, results=Path("there"))


def test_a_ratio_is_taken_within_a_round() -> None:
    """Not between medians of different rounds; and a bar about a server that did not run is not judged."""
    rounds: list[Round] = [
        {"edge": {"burst": 1.0}, "nchan": {"burst": 10.0}},
        {"edge": {"burst": 9.0}, "nchan": {"burst": 10.0}},
        {"edge": {"burst": 2.0}, "nchan": {"burst": 2.0}},
    ]
    assert medians(rounds)["edge"]["burst"] == 2.0
    checks = judge([Bar("burst", 0.5, "nchan"), Bar("burst", 3.0), Bar("burst", 1.0, "reference")], rounds)
    assert [(check.ok, check.value) for check in checks] == [(False, 0.9), (True, 2.0)]


def test_a_descriptor_or_memory_left_behind_is_a_missed_bar() -> None:
    """Memory may be kept for the next ones, as much as those took who were there; a descriptor may not."""
    good = Leftovers(seats=1000, processes=1, files=0, kept=MIB, growth=0)
    assert all(check.ok for check in good.checks())
    for bad in ({"files": 1}, {"files": -1}, {"kept": 6 * MIB}, {"growth": 2 * MIB}):
        assert [check.ok for check in good._replace(**bad).checks()].count(False) == 1
    assert worst([good, good._replace(files=1, kept=0)]) == good._replace(files=1)


def test_metrics_are_read_by_their_name_and_labels() -> None:
    """Comments are passed over."""
    page = '# TYPE cut counter\ncut_total{limit="seconds"} 3\ncut_total{limit="bytes"} 0\nparked 1.5e+06\n'
    assert parse_metrics(page) == {'cut_total{limit="seconds"}': 3, 'cut_total{limit="bytes"}': 0, "parked": 1.5e6}


def test_the_cut_is_timed_by_what_the_edge_counts() -> None:
    """From its first parked bytes, when the kernel's own buffers are full, to the last reader it has cut."""
    none = (0, 0, 0)
    looks = [
        Look(0, 200, 0, 0, none),
        Look(5, 200, 0, 0, none),
        Look(6, 200, MIB, 2 * MIB, none),
        Look(12, 150, 3 * MIB, MIB, (50, 0, 0)),
        Look(14, 100, MIB, 0, (90, 0, 10)),
    ]
    judged = judge_looks(looks, 100)
    assert (judged.cut, judged.by_limit) == (100, (90, 0, 10))
    assert (judged.seconds_from_start, judged.seconds_from_parking) == (14, 8)
    assert (judged.parked, judged.growth, judged.kept) == (2 * MIB, 3 * MIB, MIB)


def test_who_is_never_cut_has_no_time() -> None:
    """And another server is judged by its descriptors."""
    judged = judge_looks([Look(0, 200, 0), Look(40, 200, MIB)], 100)
    assert (judged.cut, judged.seconds_from_start, judged.seconds_from_parking) == (0, None, None)
    judged = judge_looks([Look(0, 200, 0), Look(40, 100, MIB)], 100)
    assert (judged.cut, judged.seconds_from_start, judged.seconds_from_parking) == (100, 40, None)
