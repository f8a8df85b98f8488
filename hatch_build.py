"""The build hook: with `HOT_PATHS=compiled` a wheel gets the compiled hot paths (`make wheel`, the image).

Without it a wheel is pure Python, and is built where there is neither a compiler nor mypyc. A copy of the sources is
compiled, so that the checkout stays as it is.
"""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE, BUILDS = "HOT_PATHS", ("pure", "compiled")
PACKAGES = ("common", "edge")  # of which modules are compiled
EXTRA = "compiled"  # what compiles them, beside what they import, whose types matter


class CompiledHotPaths(BuildHookInterface[BuilderConfig]):
    """Puts the shared objects of a compiled copy into the wheel, beside the modules that they stand for."""

    def dependencies(self) -> list[str]:
        """Return what must be installed to build."""
        core = self.metadata.core
        return [*core.optional_dependencies[EXTRA], *core.dependencies] if is_compiled() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; an editable install keeps to the checkout, which `make compiled` compiles in place."""
        if version == "editable" or not is_compiled():
            return
        self._folder = TemporaryDirectory(prefix="comet-hot-")
        build_data["force_include"] |= compile_copy(Path(self.root), Path(self._folder.name))
        build_data |= {"pure_python": False, "infer_tag": True}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy."""
        if not build_data["pure_python"]:
            self._folder.cleanup()


def is_compiled() -> bool:
    """Say whether the compiled build is wanted."""
    wanted = os.environ.get(VARIABLE, "pure")
    if wanted not in BUILDS:
        raise SystemExit(f"{VARIABLE}: give pure or compiled, not {wanted!r}")
    return wanted == "compiled"


def compile_copy(root: Path, folder: Path) -> dict[str, str]:
    """Compile the sources of `root` in an empty folder; return the shared objects with their places in the wheel."""
    for package in PACKAGES:
        copytree(root / package, folder / package, ignore=ignore_patterns("__pycache__", "*.so"))
    for name in ("compile_hot.py", "pyproject.toml"):
        copy(root / name, folder)
    done = subprocess.run([sys.executable, "compile_hot.py"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    places = ("*.so", *(f"{package}/**/*.so" for package in PACKAGES))
    return {str(path): str(path.relative_to(folder)) for place in places for path in folder.glob(place)}
