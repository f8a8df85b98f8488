"""The command line's entry point."""

import subprocess
import sys

import pytest

from comet import __version__
from tests.comet.commands import ROOT, comet


def test_it_tells_its_version() -> None:
    """`comet --version` prints the version of the package."""
    assert comet("--version").stdout == f"comet-cluster {__version__}\n"


def test_help_is_quick_to_load() -> None:
    """The help needs neither aiohttp nor redis."""
    script = "import sys, comet.__main__; print({'aiohttp', 'redis', 'pydantic', 'asyncio'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert answer.stdout == "set()\n"


@pytest.mark.parametrize("service", ["edge", "publisher"])
def test_a_service_is_the_same_as_its_module(service: str) -> None:
    """`comet edge` and `comet publisher` run the services, and pass their exit codes on."""
    answer = comet(service, COMET_HEARTBEAT="never")

    assert answer.returncode == 2
    assert "COMET_HEARTBEAT" in answer.stderr
    assert answer.stderr.count("\n") == 1
