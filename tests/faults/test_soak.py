"""Random faults for a while: whatever happens in whatever order, nothing is lost silently."""

import subprocess
import sys

import pytest

from tests.cluster.processes import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SECONDS = 60
SEED = 3


def test_a_minute_of_random_faults() -> None:
    """`make soak` for a minute: the checker finds no hole and no repetition in any client's log."""
    command = [sys.executable, "-m", "tests.faults.soak", "--seconds", str(SECONDS), "--seed", str(SEED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)  # noqa: T201  # a failure shows it, with the seed

    assert done.returncode == 0
    assert "no violation" in done.stdout
