"""Random faults for a while: whatever happens in whatever order, nothing is lost silently."""

import subprocess
import sys

import pytest

from tests.cluster.processes import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SECONDS = 60
SEED = 5  # in its first twenty seconds it does all that MUST_HAPPEN names
MUST_HAPPEN = ("forget_idle_connections", "demote_redis", "isolate_redis")


def test_a_minute_of_random_faults() -> None:
    """`make soak` for a minute: the checker finds no hole and no repetition in any client's log, whatever was done."""
    command = [sys.executable, "-m", "tests.faults.soak", "--seconds", str(SECONDS), "--seed", str(SEED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)  # noqa: T201  # a failure shows it, with the seed

    assert done.returncode == 0
    assert "no violation" in done.stdout
    numbers = done.stdout.partition("no violation; ")[2]
    assert [name for name in MUST_HAPPEN if f"{name} " not in numbers] == []
