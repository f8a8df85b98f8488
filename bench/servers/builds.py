"""The pure build beside the compiled one: where this checkout is compiled, both are measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from bench.servers.edges import serving_edge
from bench.servers.server import Serving
from bench.system.paths import CHECKOUT
from common.service.version import our_build

PACKAGES = ("edge", "common")  # what an edge is made of


@contextmanager
def pure_beside(*, plain: bool = False, checkout: Path = CHECKOUT) -> Iterator[dict[str, Serving]]:
    """Yield the edge of a copy without compiled modules, called `pure`; nothing where this checkout is pure itself."""
    if our_build() == "pure":
        yield {}
        return
    with TemporaryDirectory(prefix="bench-pure-") as folder:
        for package in PACKAGES:
            copytree(checkout / package, Path(folder, package), ignore=ignore_patterns("__pycache__", "*.so"))
        yield {"pure": partial(serving_edge, plain=plain, checkout=Path(folder))}
