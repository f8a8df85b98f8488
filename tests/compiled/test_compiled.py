"""The compiled build of the hot paths: the tests that hold of the pure one hold of it.

Everything that can run on it does: the edge's unit tests, the cluster tests without those marked `system`, a soak.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiled.conftest import make, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

WHERE = "from common import message; from edge.engine import seats; print(message.__file__, seats.__file__)"
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not system")


def in_tree(folder: Path, *arguments: str) -> str:
    """Run Python on the modules of a folder."""
    return run(folder, *arguments, PYTHONPATH=str(folder))


def test_the_compiled_modules_are_those_that_run(compiled: Path) -> None:
    """Python prefers the shared object beside a module to the module."""
    assert all(path.endswith(".so") for path in in_tree(compiled, "-c", WHERE).split())
    assert in_tree(compiled, "-c", "from common.service.version import our_build; print(our_build())") == "compiled\n"


def test_the_unit_tests_of_the_edge_pass(compiled: Path) -> None:
    """Those that replace no object of a compiled module (tests/pure_only.py), the walk over seats among them."""
    assert " passed" in in_tree(compiled, *PYTEST, "tests/edge")


def test_a_compiled_cluster_passes_the_cluster_tests(compiled: Path) -> None:
    """Every transport, bad input, drains and a lost Redis, on processes that run the compiled modules."""
    assert " passed" in in_tree(compiled, *PYTEST, "tests/cluster")


def test_a_soak_of_a_compiled_cluster_finds_nothing(compiled: Path) -> None:
    """Everything is broken at random for a while: nothing is lost, doubled or out of order."""
    assert "no violation" in in_tree(compiled, "-m", "tests.faults.soak", "--seconds", "60", "--seed", "7")


def test_without_a_compiler_it_is_said_what_to_install(sources: Path) -> None:
    """`make compiled` names the packages, and leaves everything as it was."""
    command = [sys.executable, "compile_hot.py"]
    done = subprocess.run(command, cwd=sources, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert (done.returncode, "no C compiler found; install one (Debian: gcc libc6-dev)" in done.stderr) == (1, True)
    assert not list(sources.rglob("*.so"))


def test_clean_leaves_no_shared_object(compiled: Path) -> None:
    """`make clean` gives the pure checkout back."""
    assert list(compiled.rglob("*.so"))
    make(compiled, "clean")
    assert not list(compiled.rglob("*.so"))
