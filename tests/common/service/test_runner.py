import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from common.service.runner import notice_of_drain
from common.service.version import our_build

WAIT = 20.0
NOT_HERE = "this is not an address of this machine"
ORIGINS = "COMET_ALLOWED_ORIGINS"
DRAINING = """
import asyncio, os, sys, time
from common.service import runner as service
from common.logs import get_logger
service.STOP_TIMEOUT = float(os.environ.get("STOP_TIMEOUT", "60"))
class Draining:
    def __init__(self, settings): pass
    async def start(self):
        if os.environ.get("ASK"): self.on_drain()
    async def drain(self):
        if os.environ.get("FAIL"): raise LookupError("a bug")
        get_logger().info("draining")
        await asyncio.Event().wait()
    async def stop(self):
        hang = os.environ.get("HANG")
        if hang == "stop": await asyncio.Event().wait()
        if hang == "thread": asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
sys.exit(service.run_service("test", Draining))
"""
FAILING = """
import sys
from common.service.runner import run_service
class Failing:
    def __init__(self, settings): pass
    async def start(self): raise PermissionError("port 80: permission denied")
    async def stop(self): pass
sys.exit(run_service("failing", Failing, edge_port=1234))
"""

NOTICES = {0: 0, 0.4: 0.2, 6: 3, 10: 5, 30: 5, 3600: 5}  # seconds of a drain: those in which it serves as ever


@pytest.mark.parametrize(("seconds", "notice"), NOTICES.items())
def test_load_balancers_get_five_seconds_to_notice(seconds: float, notice: float) -> None:
    """Or half of a drain that is shorter than ten: HAProxy needs two, Kubernetes four, an ALB more."""
    assert notice_of_drain(seconds) == notice


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
    ports = {"COMET_PUBLISHER_PORT": "0", "COMET_PUBLISHER_ADMIN_PORT": "0", "COMET_DRAIN_SECONDS": "0.1"}
    process = start("-m", "publisher", COMET_REDIS_URL="redis://127.0.0.1:1", COMET_EDGEPORT="1", **ports)
    seen = read_until(process, '"started"')
    assert "COMET_EDGEPORT is not a setting of this version; did you mean COMET_EDGE_PORT?" in seen
    assert f'"build": "{our_build()}", "event": "started"' in seen
    process.send_signal(number)
    code, errors = result(process)
    assert code == 0
    assert '"stopped"' in errors
    assert "Traceback" not in seen + errors


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(start: Start, first: signal.Signals, second: signal.Signals) -> None:
    """A service that hangs while it drains or stops can still be ended by hand."""
    process = start("-c", DRAINING, HANG="stop")
    read_until(process, '"started"')
    process.send_signal(first)
    read_until(process, '"draining"' if first == signal.SIGTERM else '"stopping"')
    process.send_signal(second)
    assert result(process)[0] == 128 + second


@pytest.mark.parametrize("what", ["stop", "thread"])
def test_whatever_hangs_the_process_ends_in_time(start: Start, what: str) -> None:
    """The process exits without a part or a thread that does not stop; log and exit code tell of it."""
    process = start("-c", DRAINING, HANG=what, STOP_TIMEOUT="0.2")
    read_until(process, '"started"')
    process.send_signal(signal.SIGINT)
    code, errors = result(process)
    assert (code, "a part did not stop in time" in errors) == (1, True)


def test_sigint_stops_without_a_drain(start: Start) -> None:
    """Ctrl-C is for a user who waits."""
    process = start("-c", DRAINING)
    read_until(process, '"started"')
    process.send_signal(signal.SIGINT)
    code, errors = result(process)
    assert (code, '"draining"' in errors, '"stopped"' in errors) == (0, False, True)


def test_sigint_cuts_a_drain_short_that_no_signal_began(start: Start) -> None:
    """A drain that was asked for over HTTP can be cut short with Ctrl-C, in order."""
    process = start("-c", DRAINING, ASK="1")
    read_until(process, '"draining"')
    process.send_signal(signal.SIGINT)
    code, errors = result(process)
    assert (code, '"stopped"' in errors) == (0, True)


def test_a_service_whose_drain_fails_still_stops(start: Start) -> None:
    """A bug in the drain shows in the log and by the exit code, and everything is let go."""
    process = start("-c", DRAINING, FAIL="1")
    read_until(process, '"started"')
    process.send_signal(signal.SIGTERM)
    code, errors = result(process)
    assert (code, '"stopped"' in errors, "a bug" in errors) == (1, True, True)


def test_a_wrong_setting_is_one_line_and_exit_code_2(start: Start) -> None:
    """A setting that cannot be used names its variable, without a traceback."""
    code, errors = result(start("-m", "publisher", COMET_HISTORY_SIZE="many"))
    assert code == 2
    assert errors.startswith("comet publisher: COMET_HISTORY_SIZE='many': ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("service", "variable", "value", "line"),
    [
        ("edge", "COMET_EDGE_PORT", "80800", "COMET_EDGE_PORT='80800': give a whole number (port, from 0 to 65535)"),
        ("edge", "COMET_HEARTBEAT", "x", "COMET_HEARTBEAT='x': give a number (seconds, more than 0 to 86400)"),
        ("edge", "COMET_SLOW_POLICY", "drop", "COMET_SLOW_POLICY='drop': give disconnect or latest"),
        ("edge", "COMET_REDIS_URL", "amqp://h", "COMET_REDIS_URL='amqp://h': must start with redis://, "),
        ("edge", "COMET_REDIS_URL", "redis://:pw@h:x", "COMET_REDIS_URL='redis://***@h:x': the port in it must be"),
        ("edge", "COMET_REDIS_URL", "redis://h?db=x", "COMET_REDIS_URL='redis://h?db=x': db must be a number"),
        (
            "edge",
            "COMET_REDIS_URL",
            "rediss://h?ssl_ca_certs=/x",
            "COMET_REDIS_URL='rediss://h?ssl_ca_certs=/x': ssl_ca",
        ),
        (
            "publisher",
            "COMET_REDIS_URL",
            "rediss://h?ssl_certfile=/x",
            "COMET_REDIS_URL='rediss://h?ssl_certfile=/x': ",
        ),
        ("publisher", "COMET_REDIS_URL", "unix://", "COMET_REDIS_URL='unix://': give a socket by its full path"),
        ("publisher", "COMET_PUBLISHER_URL", "foo bar", "COMET_PUBLISHER_URL='foo bar': must be an address such as"),
        ("publisher", "COMET_PUBLISHER_HOST", "", "COMET_PUBLISHER_HOST='': give an address of this machine"),
        ("edge", "COMET_EDGE_HOST", "", "COMET_EDGE_HOST='': give an address of this machine"),
        ("edge", "COMET_ADMIN_HOST", "", "COMET_ADMIN_HOST='': give an address of this machine"),
        ("edge", "COMET_EDGE_HOST", "203.0.113.7", f"COMET_EDGE_HOST=203.0.113.7: {NOT_HERE}"),
        ("edge", "COMET_EDGE_HOST", "x" * 70, f"COMET_EDGE_HOST={'x' * 70}: {NOT_HERE}"),
        ("edge", "COMET_ADMIN_HOST", "203.0.113.7", f"COMET_ADMIN_HOST=203.0.113.7: {NOT_HERE}"),
        ("publisher", "COMET_PUBLISHER_HOST", "no.invalid", f"COMET_PUBLISHER_HOST=no.invalid: {NOT_HERE}"),
        ("publisher", "COMET_PUBLISH_KEYS", "short", "COMET_PUBLISH_KEYS=(not shown): each key needs at least 16"),
        ("publisher", "COMET_EDGE_URL", "ftp://x", "COMET_EDGE_URL='ftp://x': 'ftp://x' must be / or an address"),
        ("edge", ORIGINS, "https://*", f"{ORIGINS}='https://*': 'https://*' matches no page: the host in it"),
        ("edge", ORIGINS, "https://app-*.x", f"{ORIGINS}='https://app-*.x': 'https://app-*.x' matches no page: "),
        ("edge", ORIGINS, "https://a.x,*", f"{ORIGINS}='https://a.x,*': * allows every origin, so it stands alone"),
        ("edge", ORIGINS, "wss://a", f"{ORIGINS}='wss://a': 'wss://a' matches no page: a page's origin begins with"),
        ("edge", ORIGINS, "https://a.x:0", f"{ORIGINS}='https://a.x:0': 'https://a.x:0' matches no page: the port"),
        ("edge", ORIGINS, "a.example", f"{ORIGINS}='a.example': an origin looks like https://example.com or"),
        ("edge", ORIGINS, ",", f"{ORIGINS}=',': it contains no origin"),
    ],
)
def test_a_wrong_setting_of_any_kind_stops_the_process(
    start: Start, service: str, variable: str, value: str, line: str
) -> None:
    """One line that names the variable, what it got and what is allowed; exit code 2, and no traceback."""
    ports = {f"COMET_{service.upper()}_PORT": "0", f"COMET_{service.upper()}_ADMIN_PORT": "0"}
    code, errors = result(start("-m", service, **(ports | {variable: value})))
    assert errors.startswith(f"comet {service}: {line}")
    assert (code, errors.count("\n")) == (2, 1)


@pytest.mark.parametrize("variable", ["COMET_PUBLISHER_PORT", "COMET_PUBLISHER_ADMIN_PORT"])
def test_a_taken_port_is_one_line_that_names_the_setting(start: Start, variable: str) -> None:
    """A port that another program has stops the process with a sentence that says what to do."""
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
