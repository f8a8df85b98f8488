"""Drives a C program that takes commands on its standard input and answers each with a line."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Driver:
    """The pipes of a program; an answer raises `RuntimeError` if the command failed or took too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the program was started without pipes")
        self.pid = process.pid
        self._commands = process.stdin
        self._answers = process.stdout
        self._last = ""

    def send(self, line: str) -> None:
        """Give a command and return at once."""
        self._last = line
        print(line, file=self._commands, flush=True)

    def receive(self) -> list[int]:
        """Wait until the command is done and return the numbers of its answer."""
        answer = self._answers.readline().split()
        if answer[:1] != ["ok"]:
            raise RuntimeError(f"{self._last!r} was answered {' '.join(answer) or 'by the end of the program'!r}")
        return [int(number) for number in answer[1:]]

    def ask(self, line: str) -> list[int]:
        """Give a command, wait until it is done, and return the numbers of its answer."""
        self.send(line)
        return self.receive()


@contextmanager
def running_program(program: Path, *numbers: int) -> Iterator[subprocess.Popen[str]]:
    """Run a program with these arguments while the block runs; it is killed at the end, however that comes."""
    command: list[str | Path] = [program, *map(str, numbers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
