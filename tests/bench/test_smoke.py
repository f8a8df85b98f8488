"""Every benchmark, with so little load that it is over in seconds: it runs, and what it writes is whole.

The numbers mean nothing here. What does not depend on the load must hold all the same: nothing is lost, nothing comes
twice, no descriptor is left behind.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.servers.nchan import nchan_module
from bench.system.paths import CHECKOUT

AFTERWARDS = "afterwards: descriptors left behind"
CASES = {  # what to measure: its options, a row that it must have, and the columns of that row
    "held": (
        "--subscribers 200 --pollers 20 --cycles 2 --messages 4 --rounds 1 --no-peers",
        "CPU/delivery, one by one, µs",
        {"edge", "live", "reference", "websocket"},
    ),
    "poll": (
        "--subscribers 200 --pollers 50 --cycles 2 --rounds 1",
        "CPU/long-poll cycle, µs",
        {"edge", "reference", "nchan", "nchan-redis", "aiohttp", "reference, our heads"},
    ),
    "broadcast": (
        "--subscribers 200 --rounds 2 --quiet-seconds 0.2 --no-peers",
        "bystander meanwhile: p99, ms",
        {"edge", "edge, 2 channels each"},
    ),
    "rude": (
        "--clients 20 --seconds 1",
        "CPU/second while they stay, ms",
        {"edge"},
    ),
    "storm": (
        "--connections 200 --edges 2 --channels 10 --rounds 1",
        "bystander p99 in the storm, ms",
        {"median", "lowest", "highest"},
    ),
    "rooms": (
        "--channels 40 --edges 2 --rate 100 --seconds 1 --rounds 1",
        "end to end p99, ms",
        {"median", "highest"},
    ),
    "ideawu": (
        "--channels 150 --subscribers 200 --edges 2 --messages 20",
        "edge memory/connection, B",
        {"round 1", "round 2"},
    ),
    "idle": (
        "--connections 200 --heartbeat 1 --beats 1",
        "CPU/connection and second, µs",
        {"edge", "edge, all beat together"},
    ),
    "turns": (
        "--rounds 1",
        "256 of a known channel",
        {"median, ms", "most, ms"},
    ),
    "million": (
        "--connections 200 --edges 2",
        "edges, RSS, MB",
        {"no connections", "all connections", "B/connection"},
    ),
    "publishing": (
        "--requests 200 --arrays 8 --rounds 1",
        "alone, with history, µs",
        {"publisher", "bare handler", "nchan-redis", "÷ bare handler", "messages/s"},
    ),
    "redis_cost": (
        "--messages 1000 --rounds 1",
        "CPU of the whole Redis process, µs",
        {"plain PUBLISH", "bare calls", "publish with history", "FCALL comet_publish"},
    ),
    "tokens": (
        "--tokens 20 --rounds 1",
        "HS256",
        {"a new one, µs", "one seen before, µs"},
    ),
}
WITHOUT_SERVERS = ("publishing", "redis_cost", "tokens", "turns")

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(180),  # a minute is enough for all of them, where nothing else runs
    pytest.mark.skipif(nchan_module() is None, reason="Nchan is not installed (Debian: libnginx-mod-nchan)"),
]


def run(name: str, options: str, folder: Path) -> tuple[int, dict[str, Any]]:
    """Run a benchmark; return its exit code and what it has written."""
    command = [sys.executable, "-m", f"bench.{name}", *options.split(), "--results", str(folder)]
    done = subprocess.run([*command, "--forget-seconds", "0.2"], cwd=CHECKOUT, check=False, capture_output=True)
    assert done.returncode in {0, 1}, done.stderr.decode()
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    path = folder / f"{name}.json"
    return done.returncode, json.loads(path.read_text())


@pytest.mark.parametrize("name", CASES)
def test_it_runs_and_what_it_writes_is_whole(name: str, tmp_path: Path) -> None:
    """The table's rows, all bars with their verdict, the machine, the chart; and all counts are right."""
    options, row, columns = CASES[name]
    code, result = run(name, options, tmp_path)
    assert code == 0, "without --strict a missed bar is no error"
    assert result["rows"][row].keys() == columns
    assert result["verdict"] == ("ok" if all(bar["ok"] for bar in result["bars"]) else "MISSED")
    assert [bar for bar in result["bars"] if bar["exact"] and not bar["ok"]] == []
    assert "optimised" in result["machine"]["python_build"].lower()
    assert name in WITHOUT_SERVERS or AFTERWARDS in result["rows"]


def test_readers_that_are_not_cut_in_time_are_a_missed_bar(tmp_path: Path) -> None:
    """They get 2 seconds here, and an edge waits for 10; with --strict that is an error."""
    options = "--subscribers 100 --stuck 20 --burst 40 --seconds 1 --patience 2 --rounds 1 --no-peers --strict"
    code, result = run("slow", options, tmp_path)
    assert (code, result["verdict"]) == (1, "MISSED")
    bars = {bar["what"]: bar for bar in result["bars"]}
    cut = bars["last cut after the first parked bytes, s"]
    assert (cut["value"], cut["ok"]) == (None, False)
    assert result["rows"]["parked bytes at most, MiB"]["edge"] > 0
    assert bars[AFTERWARDS]["ok"]
