"""A compiled wheel, and a tree that runs its modules; one compilation serves all tests of this folder.

A copy of the checkout's files is built from, so that this checkout stays pure Python.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cluster.processes import ROOT


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of this checkout's files."""
    copy = tmp_path_factory.mktemp("sources")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="session")
def wheel(sources: Path) -> Path:
    """Return the wheel that `make wheel` built."""
    make(sources, "wheel")
    (built,) = (sources / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def compiled(wheel: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another copy, with the compiled modules beside their sources: what `make compiled` leaves."""
    copy = tmp_path_factory.mktemp("compiled") / "tree"
    shutil.copytree(sources, copy)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(copy, [name for name in archive.namelist() if name.endswith(".so")])
    return copy


def make(folder: Path, target: str) -> None:
    """Call `make` with the Python of this test, whose packages are installed already."""
    command = ["make", "--silent", "--old-file=.venv/installed", f"BIN={Path(sys.executable).parent}", target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(folder: Path, *arguments: str | Path, python: Path = Path(sys.executable), **variables: str) -> str:
    """Run Python in a folder and return what it prints."""
    environment = os.environ | variables
    done = subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
