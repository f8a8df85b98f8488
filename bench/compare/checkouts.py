"""The two checkouts: this one, and the folder or the commit to compare it with."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from bench.report.console import progress
from bench.system.paths import CHECKOUT

PACKAGES = ("edge", "common")  # what an edge is made of


@contextmanager
def checkout_of(base: str, repository: Path = CHECKOUT) -> Iterator[Path]:
    """Yield the folder `base`, or a temporary one with the edge of the commit `base` while the block runs."""
    if Path(base, "edge").is_dir():
        yield Path(base).absolute()
        return
    with TemporaryDirectory(prefix="bench-base-") as folder:
        archive = git(repository, "archive", "--format=tar", base, *PACKAGES)
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def git(repository: Path, *words: str) -> bytes:
    """Return what a git command writes."""
    done = subprocess.run(["git", *words], cwd=repository, check=False, capture_output=True)
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
