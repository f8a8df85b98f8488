"""The guard: a command does not outlive the process that started it."""

import os
import signal
import subprocess
import sys

import pytest

from tests.cluster.waiting import until
from tests.comet.commands import ROOT, is_alive

SLEEP = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
PARENT = """
import os, subprocess, sys
guard, command = sys.argv[1:3], [sys.executable, "-c", sys.argv[3]]
subprocess.Popen([sys.executable, *guard, str(os.getpid()), *command], stdin=subprocess.PIPE).wait()
"""
GUARDS = {
    "linux": ("-m", "comet.guard"),
    "elsewhere": ("-c", "import sys; from comet import guard; sys.exit(guard.watch(sys.argv[2:]))"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS.keys())
def test_a_command_dies_with_a_parent_that_was_killed(guard: tuple[str, str]) -> None:
    """After kill -9 of the parent the command is gone: by the kernel on Linux, by the closed pipe elsewhere."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *guard, SLEEP], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()

    until(lambda: not is_alive(pid))


def test_a_command_whose_parent_is_dead_already_is_not_started() -> None:
    """If the parent died before the guard could ask for its protection, nothing is started."""
    guard = [sys.executable, "-m", "comet.guard", "1", sys.executable, "-c", "print('started')"]
    answer = subprocess.run(guard, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (answer.returncode, answer.stdout) == (1, "")


def test_a_watched_command_passes_its_exit_code_on() -> None:
    """Where the guard stays beside its command, it ends as the command does, also when it is asked to."""
    watched = [sys.executable, *GUARDS["elsewhere"], str(os.getpid()), sys.executable, "-c"]
    with subprocess.Popen([*watched, "raise SystemExit(7)"], cwd=ROOT, stdin=subprocess.PIPE) as guard:
        assert guard.wait(10) == 7
    with subprocess.Popen([*watched, SLEEP], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None
        pid = int(guard.stdout.readline())
        os.kill(guard.pid, signal.SIGTERM)
        guard.wait(10)

    assert not is_alive(pid)
