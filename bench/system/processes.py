"""The processes of a benchmark: started fresh, ready before they are used, ended by pid."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.system.paths import BUILD, CHECKOUT

START_TIMEOUT = 10.0
COMMAND_TIMEOUT = 60  # of one command to a load generator
END_TIMEOUT = 20
POLL_INTERVAL = 0.02


def free_ports(count: int) -> list[int]:
    """Return distinct loopback ports on which nothing listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in sockets]


def free_port() -> int:
    """Return a loopback port on which nothing listens."""
    return free_ports(1)[0]


def start(
    name: str, command: list[str | Path], environment: Mapping[str, str] | None = None, folder: Path = CHECKOUT
) -> subprocess.Popen[bytes]:
    """Start a server in a folder; its output goes to bench/build/`name`.log."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)


@contextmanager
def running(name: str, command: list[str | Path]) -> Iterator[int]:
    """Run a server while the block runs and yield its pid."""
    process = start(name, command)
    try:
        yield process.pid
    finally:
        end([process])


def end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End processes together: SIGTERM to all at once, then SIGKILL to those that stay."""
    ending = list(processes)
    for process in ending:
        process.send_signal(signal.SIGTERM)
    for process in ending:
        try:
            process.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool], name: str) -> None:
    """Return when a condition of the process `name` holds; raise `TimeoutError` if it does not within START_TIMEOUT."""
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not start within {START_TIMEOUT:.0f} s; see bench/build/{name}.log")
        time.sleep(POLL_INTERVAL)


def accepts(port: int) -> bool:
    """Say whether a loopback port takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
