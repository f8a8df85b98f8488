"""Two checkouts in one run: what became worse is a missed bar."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.compare.__main__ import ComparePlan, judge, parts_of, shares, tabulate
from bench.report.statistics import Round
from bench.system.paths import CHECKOUT

DELIVERY, MEMORY = "held: CPU/delivery, µs", "held: memory/connection, B"
ROUNDS: list[Round] = [
    {"base": {DELIVERY: 10.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 10.2, MEMORY: 303.0, "head": 9.0}},
    {"base": {DELIVERY: 20.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 20.8, MEMORY: 303.0, "head": 9.0}},
    {"base": {DELIVERY: 10.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 11.0, MEMORY: 303.0, "head": 9.0}},
]


def test_the_median_of_the_paired_ratios_is_judged() -> None:
    """3 % of CPU and 1 % of memory are allowed, or what the options say; other numbers are only shown."""
    assert [(check.ok, round(check.value or 0, 3)) for check in judge(ROUNDS, ComparePlan())] == [
        (False, 1.04),
        (True, 1.01),
    ]
    assert [check.ok for check in judge(ROUNDS, ComparePlan(max_cpu=5, max_memory=0.5))] == [True, False]
    assert tabulate(ROUNDS)[DELIVERY] == {"base": 10.0, "edge": 11.0}
    assert shares(ROUNDS)[DELIVERY] == {"edge ÷ base": "1.04 (1.02-1.10)", "lowest ÷ lowest": "1.02"}


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit, match="2"):
        parts_of(ComparePlan(benches="held,storm"))
    assert (
        "--benches takes some of held, poll, broadcast, slow, separated by commas, not storm" in capsys.readouterr().err
    )


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")
@pytest.mark.parametrize(
    ("benches", "labels"),
    [
        ("poll", {"poll: CPU/long-poll cycle, µs"}),
        pytest.param(
            "held,broadcast,slow",
            {
                "held: memory/connection, channel each, B",
                "held: memory/connection as objects, one channel, B",
                "held, WebSocket: memory/connection as objects, channel each, B",
                "held: CPU/subscribe, one channel, µs",
                "held: CPU/delivery, one by one, µs",
                "held, WebSocket: memory/connection, one channel, B",
                "broadcast: CPU/delivery, µs",
                "broadcast, 2 channels each: CPU/delivery, µs",
                "slow: CPU/delivery, stuck readers beside, µs",
            },
            marks=pytest.mark.system,  # half a minute
        ),
    ],
)
def test_it_compares_a_checkout_with_itself(benches: str, labels: set[str], tmp_path: Path) -> None:
    """With loads so small that the ratios mean nothing: whatever they are, they are written and judged."""
    options = f"--base . --rounds 1 --scale 0.01 --benches {benches} --max-cpu 1e6 --max-memory 1e6"
    command = [sys.executable, "-m", "bench.compare", *options.split(), "--results", tmp_path]
    done = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    result = json.loads((tmp_path / "compare.json").read_text())
    assert result["verdict"] == "ok"
    assert labels <= result["rows"].keys()
    assert all(row.keys() == {"base", "edge"} for row in result["rows"].values())
    judged = [bar["what"].removesuffix(", ÷ base's") for bar in result["bars"]]
    assert judged == [label for label in result["rows"] if "CPU" in label or "memory" in label]
