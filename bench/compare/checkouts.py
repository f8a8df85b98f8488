"""The two edges that are compared: copies of what is in this checkout, and in another folder or commit."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import NoReturn

from bench.report.console import progress
from bench.system.paths import CHECKOUT

PACKAGES = ("edge", "common")  # what an edge is made of


@contextmanager
def copies(base: str, checkout: Path = CHECKOUT) -> Iterator[tuple[Path, Path]]:
    """Yield two folders while the block runs: with the edge of a folder or commit, and with that of this checkout.

    An edit in the checkout does not reach a copy that runs. The paths have the same length, because a module's path is
    part of its memory.
    """
    with TemporaryDirectory(prefix="bench-compare-") as folder:
        theirs, ours = Path(folder, "base"), Path(folder, "edge")
        if Path(base, PACKAGES[0]).is_dir():
            copy_edge(Path(base), theirs)
        else:
            extract_edge(checkout, base, theirs)
        copy_edge(checkout, ours)
        yield theirs, ours


def copy_edge(source: Path, target: Path) -> None:
    """Copy the packages of an edge, with their compiled modules and the library that these share, if there are any."""
    for package in PACKAGES:
        copytree(source / package, target / package, ignore=ignore_patterns("__pycache__"))
    for library in source.glob("*.so"):
        copy(library, target)


def extract_edge(repository: Path, commit: str, target: Path) -> None:
    """Write the packages of an edge as they are in a commit."""
    archive = git(repository, "archive", "--format=tar", commit, *PACKAGES)
    target.mkdir()
    subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)


def git(repository: Path, *words: str) -> bytes:
    """Return what a git command writes.

    A hook and `git rebase --exec` set variables that name their own repository; this one is that of the folder.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(["git", *words], cwd=repository, env=plain, check=False, capture_output=True)
    if done.returncode:
        refuse(f"`git {' '.join(words)}` says: {done.stderr.decode().strip()}")
    return done.stdout


def refuse(sentence: str) -> NoReturn:
    """Say what is wrong with an option, and end with 2, as `argparse` does."""
    progress(sentence)
    sys.exit(2)


def is_compiled(checkout: Path) -> bool:
    """Say whether a checkout has extension modules beside its sources."""
    return any(path for package in PACKAGES for path in (checkout / package).rglob("*.so"))
