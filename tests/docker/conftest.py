"""One engine and one stack for all tests of this folder; without an engine they are skipped, and say why."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.docker import bases
from tests.docker.daemon import Engine, EngineError, engine
from tests.docker.stack import COMPOSE, Stack

DRAIN = 8  # seconds
SETTINGS = {"COMET_DRAIN_SECONDS": str(DRAIN), "COMET_STOP_GRACE": "30s"}
NO_COMPOSE = f"no {COMPOSE}: pip install -e '.[system]' (as make test-system does)"

KEPT = "DEBIAN_TAR"  # names a file for the base image that is made once and used again by later runs

_stacks: list[Stack] = []


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder for the engine; its paths must be short, for they become those of sockets."""
    path = Path(tempfile.mkdtemp(prefix="comet-docker-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """Yield a Docker engine of our own."""
    if not COMPOSE.exists():
        pytest.skip(NO_COMPOSE)
    with folder() as path, ExitStack() as stack:
        try:
            yield stack.enter_context(engine(path))
        except EngineError as error:
            pytest.skip(f"no Docker engine here: {error}")


@pytest.fixture(scope="session")
def stack(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the stack of compose.yaml, not started yet, on an engine that has the images it is made of."""
    stack = Stack(docker, **SETTINGS)
    _stacks.append(stack)
    kept = os.environ.get(KEPT)
    archive = Path(kept) if kept else tmp_path_factory.mktemp("bases") / "debian.tar"
    if not archive.exists():
        bases.make_base(archive)
    config = ("--profile=*", "config", "--format=json")
    bases.provide(docker, bases.images_of(stack(*config), stack.with_nginx(*config)), archive)
    if not kept:
        archive.unlink()
    yield stack
    stack.stop()
    _stacks.remove(stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the containers' logs with a test that failed."""
    report = yield
    if report.failed:
        report.sections += [("logs of the containers", stack.logs()) for stack in _stacks]
    return report
