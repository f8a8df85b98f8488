"""The driver's side of load.c: one method for each of its commands."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import COMMAND_SECONDS


class Load:
    """Commands the load generator; every call raises `RuntimeError` if it failed or took too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def open_streams(self, count: int, path: str) -> None:
        """Open SSE streams and return when each was welcomed; `#` at the end of the path numbers them."""
        self._command(f"sse {count} {path}")

    def wait_for_messages(self, each: int) -> int:
        """Return when every stream has had so many messages, with the number that all had together."""
        return self._command(f"wait {each}")

    def open_polls(self, count: int) -> None:
        """Open kept-alive connections for polling."""
        self._command(f"polls {count}")

    def poll(self, path: str) -> None:
        """Send a poll on each of them and return at once."""
        self._command(f"poll {path}")

    def wait_for_answers(self) -> None:
        """Return when every poll was answered with a message."""
        self._command("answers")

    def _command(self, line: str) -> int:
        pipes = self._process
        if pipes.stdin is None or pipes.stdout is None:
            raise RuntimeError("the load generator was started without pipes")
        print(line, file=pipes.stdin, flush=True)
        answer = pipes.stdout.readline().split()
        if len(answer) != 2 or answer[0] != "ok":
            raise RuntimeError(f"load: {line!r} was answered {' '.join(answer) or 'by its end'!r}")
        return int(answer[1])


@contextmanager
def running_load(program: Path, port: int, seconds: int = COMMAND_SECONDS) -> Iterator[Load]:
    """Run the load generator against a port while the block runs."""
    command = [str(program), str(port), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            load = Load(process)
            load.wait_for_messages(0)  # it runs: what it shares with the server no longer changes the server's PSS
            yield load
        finally:
            process.kill()
