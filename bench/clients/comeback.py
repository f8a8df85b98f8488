"""The driver's side of comeback.c: one method for each of its commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bench.clients.driver import Driver, running_program
from bench.system.processes import COMMAND_TIMEOUT
from bench.system.programs import compile_c


class Read(NamedTuple):
    """How many clients have had all their messages, and how many seconds after they came back the last was over."""

    complete: int
    seconds: float


class Comeback(Driver):
    """Clients that come back to an edge at once."""

    def connect(self, count: int, room: int = 0) -> None:
        """Open connections, maybe with a receive buffer of `room` bytes."""
        self.ask(f"connect {count} {room}")

    def speak_websocket(self) -> None:
        """From now on a request is one for a WebSocket."""
        self.ask("upgrade")

    def come_back(self, path: str) -> None:
        """Send a request on each new connection; `#` at the end of the path numbers them."""
        self.ask(f"ask {path}")

    def read(self, messages: int) -> Read:
        """Read until each has had so many messages, or gets no more."""
        complete, milliseconds = self.ask(f"read {messages}")
        return Read(complete, milliseconds / 1000)

    def drop(self) -> None:
        """Close all connections."""
        self.ask("drop")


@contextmanager
def running_comeback(port: int, seconds: int = COMMAND_TIMEOUT) -> Iterator[Comeback]:
    """Run the program against a port while the block runs."""
    with running_program(compile_c("comeback"), port, seconds) as process:
        yield Comeback(process)
