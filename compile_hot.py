"""Compile the typed modules of the hot paths with mypyc, in place, from the source that Python runs as it is.

`make compiled` calls this; `make clean` removes what it made. An interpreter prefers the shared object beside a module
to the module, so a changed module must be compiled again. `make wheel` and the image call it in a copy
(hatch_build.py). Pure Python stays the default everywhere else.
"""

import sys
import sysconfig
from pathlib import Path
from shutil import which

from mypyc.build import mypycify
from setuptools import setup

HOT = (
    "common/message.py",
    "common/names.py",
    "common/position.py",
    "common/tasks.py",
    "common/redis/connection.py",
    "common/redis/probe.py",
    "common/rpc/messages.py",
    "common/scripts/results.py",
    "edge/chain.py",
    "edge/channel_log.py",
    "edge/counters.py",
    "edge/parked.py",
    "edge/pollers.py",
    "edge/state.py",
    "edge/channels/*.py",
    "edge/engine/*.py",
    "edge/framing/*.py",
    "edge/protocol/*.py",
    "edge/server/*.py",
    "edge/subscribers/*.py",
)


def hot_modules() -> list[str]:
    """Return the files to compile; a package's `__init__` holds its docstring and nothing else."""
    found = sorted(str(path) for pattern in HOT for path in Path().glob(pattern))
    return [path for path in found if not path.endswith("__init__.py")]


def refuse_without_compiler() -> None:
    """End with a sentence that says what to install, if something is missing."""
    if which("cc") is None:
        sys.exit("no C compiler found; install one (Debian: gcc libc6-dev)")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        sys.exit("Python's headers are missing; install them (Debian: python3-dev)")


if __name__ == "__main__":
    refuse_without_compiler()
    setup(
        name="comet-hot",
        packages=[],
        ext_modules=mypycify(hot_modules(), opt_level="3"),
        script_args=["--quiet", "build_ext", "--inplace"],
    )
