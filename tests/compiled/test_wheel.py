"""The wheel of `make wheel` has the compiled hot paths; a plain `pip install .` is pure, and needs no compiler."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from openapi_json import SERVED
from tests.compiled.conftest import run

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]

HOT = "import compile_hot; print(*compile_hot.hot_modules())"
WHICH = "from common import names; from common.service import version; print(version.our_build(), names.__file__)"
NOWHERE = {"COMET_REDIS_URL": "redis://127.0.0.1:1", "COMET_EDGE_PORT": "0", "COMET_EDGE_ADMIN_PORT": "0"}


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Return the Python of a new environment without our packages, which sees the dependencies of this one."""
    venv.create(tmp_path / "fresh", with_pip=False)
    found = sysconfig.get_path("purelib", vars={"base": str(tmp_path / "fresh"), "platbase": str(tmp_path / "fresh")})
    Path(found, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return tmp_path / "fresh" / "bin" / "python"


def install(python: Path, what: Path, folder: Path, **variables: str) -> str:
    """Install something with this environment's pip into another, and return what pip printed."""
    options = ("--disable-pip-version-check", "--no-deps", "--force-reinstall")
    return run(folder, "-m", "pip", "--python", python, "install", *options, what, **variables)


def test_a_wheel_has_every_compiled_module(wheel: Path, sources: Path) -> None:
    """Beside its source, for this Python; the code itself is in the one library that they share."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    suffix = EXTENSION_SUFFIXES[0]
    hot = run(sources, "-c", HOT).split()
    assert len(hot) > 50
    assert {name for name in names if name.endswith(".so") and "/" in name} == {name[:-3] + suffix for name in hot}
    assert set(hot) <= names
    assert len([name for name in names if name.endswith(".so") and "/" not in name]) == 1
    assert not wheel.name.endswith("-any.whl")
    assert set(SERVED.values()) <= names  # what is served at /openapi.json


def test_a_wheel_leaves_the_checkout_as_it_was(wheel: Path, sources: Path) -> None:
    """It is compiled in a copy."""
    assert wheel.exists()
    assert not list(sources.rglob("*.so"))


def test_an_installed_wheel_runs_compiled(wheel: Path, fresh: Path, tmp_path: Path) -> None:
    """In a new environment, offline: the modules, the command and the first line of an edge's log say so."""
    install(fresh, wheel, tmp_path, PIP_NO_INDEX="1")
    build, where = run(tmp_path, "-c", WHICH, python=fresh).split()
    assert (build, where.startswith(str(tmp_path)), where.endswith(EXTENSION_SUFFIXES[0])) == ("compiled", True, True)
    assert run(tmp_path, "-m", "comet", "--version", python=fresh).startswith("comet-cluster ")
    assert '"build": "compiled", "event": "started"' in first_words(fresh, tmp_path)


def test_a_plain_install_is_pure_and_needs_no_compiler(sources: Path, fresh: Path, tmp_path: Path) -> None:
    """`pip install .` without any program on the path: no word about a compiler, and an edge says that it is pure."""
    printed = install(fresh, sources, tmp_path, PATH="")
    assert "compil" not in printed.lower()
    build, where = run(tmp_path, "-c", WHICH, python=fresh).split()
    assert (build, where.startswith(str(tmp_path)), where.endswith(".py")) == ("pure", True, True)
    assert '"build": "pure", "event": "started"' in first_words(fresh, tmp_path)


def test_a_build_that_there_is_not_is_refused(sources: Path, tmp_path: Path) -> None:
    """A typing error must not give a slow wheel silently."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, sources]
    done = subprocess.run(
        command, env=os.environ | {"HOT_PATHS": "compile"}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "HOT_PATHS: give pure or compiled, not 'compile'" in done.stdout + done.stderr


def first_words(python: Path, folder: Path) -> str:
    """Return the log of an edge, which is told to end as soon as it has started."""
    command = [python, "-m", "edge"]
    with subprocess.Popen(command, cwd=folder, env=os.environ | NOWHERE, stderr=subprocess.PIPE, text=True) as edge:
        assert edge.stderr is not None
        log = ""
        while '"started"' not in log:
            line = edge.stderr.readline()
            assert line, log
            log += line
        edge.terminate()
        edge.communicate()
    return log
