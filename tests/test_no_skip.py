"""Where everything is installed a test that is skipped fails, so that nothing stays untested unseen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import ROOT
from tests.conftest import NO_SKIP, not_skipped

MISSING = """
import pytest
def test_it():
    pytest.skip("Chromium is missing")
"""


def skipped(reason: str) -> pytest.CollectReport:
    """Return the report of something that was skipped."""
    return pytest.CollectReport("test_one.py", "skipped", ("test_one.py", 1, f"Skipped: {reason}"), [])


@pytest.mark.parametrize(
    "reason", ["Chromium is missing", "haproxy is not installed", "no Docker engine here: no root"]
)
def test_what_is_missing_is_a_failure_where_nothing_may_be(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """The failure tells the reason of the skip; elsewhere it is skipped."""
    monkeypatch.delenv(NO_SKIP, raising=False)
    assert not_skipped(skipped(reason)).outcome == "skipped"
    monkeypatch.setenv(NO_SKIP, "1")
    report = not_skipped(skipped(reason))
    assert (report.outcome, reason in str(report.longrepr)) == ("failed", True)


@pytest.mark.parametrize("reason", ["all held, but this machine is busy", "without epoll it cannot", "reads /proc"])
def test_what_no_package_can_cure_is_skipped(monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    """A slow machine, or another system, is no fault of its operator."""
    monkeypatch.setenv(NO_SKIP, "1")
    assert not_skipped(skipped(reason)).outcome == "skipped"


def test_a_run_fails_with_it(tmp_path: Path) -> None:
    """pytest's own exit code tells."""
    (tmp_path / "test_one.py").write_text(MISSING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", os.devnull, tmp_path / "test_one.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {NO_SKIP: "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"nothing may be skipped here ({NO_SKIP} is set): Skipped: Chromium is missing" in done.stdout
