"""The driver's side of load.c: one method for each of its commands."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.system.processes import COMMAND_SECONDS


class Commanded:
    """A load generator and its pipes; every call raises `RuntimeError` if it failed or took too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> list[int]:
        """Give a command and return the numbers that it is answered with."""
        pipes = self._process
        if pipes.stdin is None or pipes.stdout is None:
            raise RuntimeError("the load generator was started without pipes")
        print(line, file=pipes.stdin, flush=True)
        answer = pipes.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise RuntimeError(f"load: {line!r} was answered {' '.join(answer) or 'by its end'!r}")
        return [int(number) for number in answer[1:]]


class Load(Commanded):
    """Subscribers and pollers whose messages are counted."""

    def open_streams(self, count: int, path: str) -> None:
        """Open SSE streams and return when each was welcomed; `#` at the end of the path numbers them."""
        self.ask(f"sse {count} {path}")

    def speak_websocket(self) -> None:
        """From now on a stream is a WebSocket."""
        self.ask("upgrade")

    def take_head_for_welcome(self) -> None:
        """From now on a stream is ready when the head of its answer is there."""
        self.ask("head")

    def wait_for_messages(self, each: int) -> int:
        """Return when every stream has had so many messages, with the number that all had together."""
        return self.ask(f"wait {each}")[0]

    def open_polls(self, count: int) -> None:
        """Open kept-alive connections for polling."""
        self.ask(f"polls {count}")

    def poll(self, path: str) -> None:
        """Send a poll on each of them and return at once."""
        self.ask(f"poll {path}")

    def wait_for_answers(self) -> int:
        """Return when every poll was answered with a message, with the bytes of the last answer's head."""
        return self.ask("answers")[0]


@contextmanager
def running_load(program: Path, port: int, seconds: int = COMMAND_SECONDS) -> Iterator[Load]:
    """Run the load generator against a port while the block runs."""
    with commanding([program, str(port), str(seconds)]) as process:
        load = Load(process)
        load.wait_for_messages(0)  # it runs: what it shares with the server no longer changes the server's PSS
        yield load


@contextmanager
def commanding(command: list[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """Run a program that takes commands and answers them while the block runs."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
