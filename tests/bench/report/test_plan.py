"""What a benchmark can be told on its command line."""

from pathlib import Path

from bench.report.plan import PlanWithPeers, read_plan


def test_every_field_of_a_plan_is_an_option() -> None:
    """Of its own kind; those that every benchmark has are among them."""
    plan = read_plan("held", None, PlanWithPeers(), ["--rounds", "2", "--no-peers", "--strict", "--results", "there"])
    assert plan == PlanWithPeers(rounds=2, peers=False, strict=True, results=Path("there"))
