"""The hot paths, compiled in place from the source that Python runs as it is: the same cluster tests hold.

A copy of the checkout's files is compiled, so that this checkout stays pure Python.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

WHERE = "from common import message; from edge.engine import seats; print(message.__file__, seats.__file__)"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of this checkout in which `make compiled` was called."""
    copy = tmp_path_factory.mktemp("compiled")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    make(copy, "compiled")
    return copy


def make(folder: Path, target: str) -> None:
    """Call `make` with the Python of this test, whose packages are installed already."""
    command = ["make", "--silent", "--old-file=.venv/installed", f"BIN={Path(sys.executable).parent}", target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder: Path, *arguments: str) -> str:
    """Run Python in a folder and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_the_compiled_modules_are_those_that_run(compiled: Path) -> None:
    """Python prefers the shared object beside a module to the module."""
    assert all(path.endswith(".so") for path in run(compiled, "-c", WHERE).split())


def test_a_compiled_cluster_passes_the_cluster_tests(compiled: Path) -> None:
    """Every transport, bad input, drains and a lost Redis, on processes that run the compiled modules."""
    assert " passed" in run(
        compiled, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not system", "tests/cluster"
    )


def test_a_soak_of_a_compiled_cluster_finds_nothing(compiled: Path) -> None:
    """Everything is broken at random for a while: nothing is lost, doubled or out of order."""
    assert "no violation" in run(compiled, "-m", "tests.faults.soak", "--seconds", "20", "--seed", "7")


def test_clean_leaves_no_shared_object(compiled: Path) -> None:
    """`make clean` gives the pure checkout back."""
    assert list(compiled.rglob("*.so"))
    make(compiled, "clean")
    assert not list(compiled.rglob("*.so"))
