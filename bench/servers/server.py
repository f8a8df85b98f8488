"""A running server: its processes, how to load it, what it uses."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.clients.load import Load, running_load
from bench.clients.publishing import Publisher
from bench.system.accounting import cpu_ns, pss_bytes, settle
from bench.system.programs import compile_c


class Server(NamedTuple):
    """A running server: its processes, how to publish to it, and how its streams say that they are ready."""

    name: str
    pid: int
    port: int
    publisher: Publisher
    connect: Callable[[], AbstractContextManager[Publisher]]  # for one more publisher, in a thread of its own
    says_welcome: bool = True
    by_websocket: bool = False  # its streams are WebSockets
    admin_port: int = 0  # an edge's internal port
    redis_port: int = 0  # of the Redis it uses, if any

    @property
    def pids(self) -> list[int]:
        """The process and its children: a master and its worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu_ns(self) -> int:
        """Return the CPU time that all its processes have used."""
        return sum(cpu_ns(pid) for pid in self.pids)

    def pss_bytes(self) -> int:
        """Return the user memory of all its processes."""
        return sum(pss_bytes(pid) for pid in self.pids)

    def settle(self) -> None:
        """Wait until all its processes are at rest."""
        for pid in self.pids:
            settle(pid)

    @contextmanager
    def running_load(self) -> Iterator[Load]:
        """Run the load generator against it while the block runs."""
        with running_load(compile_c("load"), self.port) as load:
            if self.by_websocket:
                load.speak_websocket()
            if not self.says_welcome:
                load.take_head_for_welcome()
            yield load


Serving = Callable[[], AbstractContextManager[Server]]


class Meter:
    """CPU time of a server over a block, from rest to rest."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.microseconds = 0.0

    def __enter__(self) -> "Meter":
        self._server.settle()
        self._before = self._server.cpu_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.settle()
        self.microseconds = (self._server.cpu_ns() - self._before) / 1000
