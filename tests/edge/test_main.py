"""`python -m edge`."""

import subprocess
import sys

import pytest

from edge import __main__ as entry_point
from edge.app import Edge


def test_an_edge_is_run_as_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit code is that of the service's runner."""
    run: list[tuple[object, ...]] = []
    monkeypatch.setattr(entry_point, "run_service", lambda *arguments: run.append(arguments) or 3)
    assert entry_point.main() == 3
    assert run == [("edge", Edge)]


def test_a_wrong_setting_ends_the_process_with_a_sentence() -> None:
    """The process says which variable is wrong, without a traceback."""
    command = [sys.executable, "-m", "edge"]
    ended = subprocess.run(
        command, env={"COMET_EDGE_PORT": "http"}, capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode != 0
    assert "COMET_EDGE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr
