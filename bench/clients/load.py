"""The driver's side of load.c: one method for each of its commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.clients.driver import Driver, running_program
from bench.system.processes import COMMAND_TIMEOUT


class Load(Driver):
    """Subscribers and pollers whose messages are counted."""

    def open_streams(self, count: int, path: str) -> None:
        """Open SSE streams and return when each was welcomed; `#` at the end of the path numbers them."""
        self.ask(f"sse {count} {path}")

    def speak_websocket(self) -> None:
        """From now on a stream is a WebSocket."""
        self.ask("upgrade")

    def take_head_for_welcome(self) -> None:
        """From now on a stream is ready when the head of its answer has arrived."""
        self.ask("head")

    def wait_for_messages(self, each: int) -> int:
        """Return when every stream has had `each` messages; return the number that all had together."""
        return self.ask(f"wait {each}")[0]

    def open_polls(self, count: int) -> None:
        """Open kept-alive connections for polling."""
        self.ask(f"polls {count}")

    def poll(self, path: str) -> None:
        """Send a poll on each of them and return at once."""
        self.ask(f"poll {path}")

    def wait_for_answers(self) -> int:
        """Return when every poll was answered with a message; return the bytes of the last answer's head."""
        return self.ask("answers")[0]


@contextmanager
def running_load(program: Path, port: int, seconds: int = COMMAND_TIMEOUT) -> Iterator[Load]:
    """Run the load generator against a port while the block runs."""
    with running_program(program, port, seconds) as process:
        load = Load(process)
        load.wait_for_messages(0)  # it runs: what it shares with the server no longer changes the server's PSS
        yield load
