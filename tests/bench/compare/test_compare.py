"""Two checkouts in one run: each edge runs its own code, and what became worse is a missed bar."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.compare.__main__ import ComparePlan, checkout_of, judge, parts_of, tabulate
from bench.report.costs import Round
from bench.servers.edges import running_fleet
from bench.system.processes import CHECKOUT

EDGE = """
import http.server, os
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        open("asked", "w").close()
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["COMET_EDGE_ADMIN_PORT"])), Ready).serve_forever()
"""
DELIVERY, MEMORY = "held: CPU/delivery, µs", "held: memory/connection, B"
ROUNDS: list[Round] = [
    {"base": {DELIVERY: 10.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 10.2, MEMORY: 303.0, "head": 9.0}},
    {"base": {DELIVERY: 20.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 20.8, MEMORY: 303.0, "head": 9.0}},
    {"base": {DELIVERY: 10.0, MEMORY: 300.0, "head": 1.0}, "edge": {DELIVERY: 11.0, MEMORY: 303.0, "head": 9.0}},
]


def put(path: Path, text: str) -> None:
    """Write a file of a package."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_edge_runs_the_code_of_its_checkout(tmp_path: Path) -> None:
    """Whatever is installed in the environment: this one leaves a file in its own folder."""
    put(tmp_path / "edge/__init__.py", "")
    put(tmp_path / "edge/__main__.py", EDGE)
    with running_fleet(1, "redis://127.0.0.1:1", checkout=tmp_path):
        assert (tmp_path / "asked").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_the_base_is_a_commit_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A commit's edge stands in a temporary folder; a name that is neither is refused with what git says."""
    for package in ("edge", "common"):
        put(tmp_path / package / "__init__.py", "old")
    author = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "x")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    put(tmp_path / "edge/__init__.py", "new")
    with checkout_of("HEAD", tmp_path) as folder:
        assert [(folder / package / "__init__.py").read_text() for package in ("edge", "common")] == ["old", "old"]
    assert not folder.exists()
    with checkout_of(str(tmp_path), tmp_path) as folder:
        assert folder == tmp_path
    with pytest.raises(SystemExit, match="2"), checkout_of("nowhere", tmp_path):
        pass
    assert "not a valid object name" in capsys.readouterr().err


def test_the_median_of_the_paired_ratios_is_judged() -> None:
    """3 % of CPU and 1 % of memory are allowed, or what the options say; other numbers are only shown."""
    assert [(check.ok, round(check.value or 0, 3)) for check in judge(ROUNDS, ComparePlan())] == [
        (False, 1.04),
        (True, 1.01),
    ]
    assert [check.ok for check in judge(ROUNDS, ComparePlan(max_cpu=5, max_memory=0.5))] == [True, False]
    assert tabulate(ROUNDS)[DELIVERY] == {"base": 10.0, "edge": 11.0}


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    with pytest.raises(SystemExit, match="2"):
        parts_of(ComparePlan(benches="held,storm"))
    assert "--benches takes some of held, poll, broadcast, separated by commas, not storm" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")
@pytest.mark.parametrize(
    ("benches", "labels"),
    [
        ("poll", {"poll: CPU/long-poll cycle, µs"}),
        pytest.param(
            "held,broadcast",
            {
                "held: memory/connection, channel each, B",
                "held: CPU/subscribe, one channel, µs",
                "held: CPU/delivery, one by one, µs",
                "held, WebSocket: memory/connection, one channel, B",
                "broadcast: CPU/delivery, µs",
                "broadcast, 2 channels each: CPU/delivery, µs",
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
