"""How costs that were measured in rounds are judged."""

from bench.report.costs import BARS, Bar, judge
from bench.report.statistics import Round, medians


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


def test_the_last_bars_are_those_of_the_edge() -> None:
    """Where the edge is compiled the pure build is judged, too, before it."""
    rounds: list[Round] = [{"edge": {"poll": 9.0}, "pure": {"poll": 11.0}, "nchan": {"poll": 10.0}}]
    lines = [check.line for check in judge(BARS, rounds)]
    assert lines[0] == "ok      pure: CPU/long-poll cycle, µs ÷ nchan's: 1.1, at most 1.25"
    assert lines[-1].startswith("ok      CPU/long-poll cycle, µs ÷ nchan's: 0.9, at most ")
