"""An edge that could hold nobody does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.server.listener import MAX_SURPLUS, RESERVED_FILES

ROOT = Path(__file__).parents[2]
NEEDED = RESERVED_FILES + MAX_SURPLUS
LIMITED = 'ulimit -n "$1" && shift && exec "$@"'


@pytest.mark.parametrize("limit", [64, NEEDED])
def test_too_few_open_files_stop_an_edge_with_one_line(limit: int) -> None:
    """It names the limit, what is needed and what to raise; before, it ran and was full for ever."""
    command = ["sh", "-c", LIMITED, "sh", str(limit), sys.executable, "-m", "edge"]
    ports = {"COMET_EDGE_PORT": "0", "COMET_EDGE_ADMIN_PORT": "0"}
    answer = subprocess.run(
        command, cwd=ROOT, env=os.environ | ports, capture_output=True, text=True, timeout=30, check=False
    )
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.startswith(f"comet edge: this process may open {limit} files, and an edge needs more than 192")
