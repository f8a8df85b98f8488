import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

WAIT = 20.0
HANGING = """
import asyncio, sys
from common.service import run_service
class Hanging:
    def __init__(self, settings): pass
    async def start(self): pass
    async def stop(self): await asyncio.Event().wait()
sys.exit(run_service("hanging", Hanging))
"""
FAILING = """
import sys
from common.service import run_service
class Failing:
    def __init__(self, settings): pass
    async def start(self): raise PermissionError("port 80: permission denied")
    async def stop(self): pass
sys.exit(run_service("failing", Failing, edge_port=1234))
"""

Process = subprocess.Popen[bytes]
Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Yield a function that starts Python with these arguments and COMET_* settings; all are ended afterwards."""
    processes: list[Process] = []

    def start_one(*arguments: str, **settings: str) -> Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
        command = [sys.executable, *arguments]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, env=clean | settings))
        return processes[-1]

    yield start_one
    for process in processes:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def read_until(process: Process, text: str) -> str:
    """Return what the process writes to stderr up to `text`; fail when it does not come."""
    stream = process.stderr
    assert stream is not None
    seen, end = b"", time.monotonic() + WAIT
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while text.encode() not in seen:
            assert selector.select(end - time.monotonic()), f"{text!r} did not come: {seen!r}"
            chunk = os.read(stream.fileno(), 65536)
            assert chunk, f"ended before {text!r}: {seen!r}"
            seen += chunk
    return seen.decode()


def result(process: Process) -> tuple[int, str]:
    """Return exit code and stderr of a process that ends by itself."""
    _, errors = process.communicate(timeout=WAIT)
    return process.returncode, errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_service_in_order(start: Start, number: signal.Signals) -> None:
    """The publisher says that it has started, also without Redis, and a signal ends it with exit code 0."""
    ports = {"COMET_PUBLISHER_PORT": "0", "COMET_PUBLISHER_ADMIN_PORT": "0"}
    process = start("-m", "publisher", COMET_REDIS_URL="redis://127.0.0.1:1", COMET_EDGEPORT="1", **ports)
    seen = read_until(process, '"started"')
    assert "COMET_EDGEPORT is not a setting of this version; did you mean COMET_EDGE_PORT?" in seen
    process.send_signal(number)
    code, errors = result(process)
    assert code == 0
    assert '"stopped"' in errors
    assert "Traceback" not in seen + errors


def test_a_second_signal_ends_at_once(start: Start) -> None:
    """A service that hangs in `stop` can still be ended by hand."""
    process = start("-c", HANGING)
    read_until(process, '"started"')
    process.send_signal(signal.SIGTERM)
    read_until(process, '"stopping"')
    process.send_signal(signal.SIGINT)
    assert result(process)[0] == 128 + signal.SIGINT


def test_a_wrong_setting_is_one_line_and_exit_code_2(start: Start) -> None:
    """A setting that cannot be used names its variable, without a traceback."""
    code, errors = result(start("-m", "publisher", COMET_HISTORY_SIZE="many"))
    assert code == 2
    assert errors.startswith("comet publisher: COMET_HISTORY_SIZE='many': ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("variable", ["COMET_PUBLISHER_PORT", "COMET_PUBLISHER_ADMIN_PORT"])
def test_a_taken_port_is_one_line_that_names_the_setting(start: Start, variable: str) -> None:
    """Each port that somebody else has stops the process with a sentence that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {"COMET_PUBLISHER_PORT": "0", "COMET_PUBLISHER_ADMIN_PORT": "0", variable: str(port)}
        code, errors = result(start("-m", "publisher", **ports))
    assert (code, errors) == (
        2,
        f"comet publisher: {variable}={port}: the port is taken; stop the other program or choose another port\n",
    )


def test_another_error_of_the_system_is_one_line_and_exit_code_1(start: Start) -> None:
    """What the operating system refuses at start is told without a traceback."""
    assert result(start("-c", FAILING)) == (1, "comet failing: port 80: permission denied\n")
