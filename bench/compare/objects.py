"""What the Python objects of a held connection take, exactly: the memory of a process comes in whole pages.

How many pages a thousand connections need depends on what is free in those that a process has already. So two versions
with the same objects may differ by some percent there, always in the same direction. Tracing makes an edge slow, so
its CPU time is not measured.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report.statistics import Costs
from bench.servers.churn import stream_path
from bench.servers.edges import serving_edge
from bench.servers.server import Server
from bench.system.processes import wait_until

TRACING = Path(__file__).parent / "tracing"
CHANNELS = {"objects_one": "", "objects_each": "#"}  # how the load generator is told: one channel, or one each


@contextmanager
def serving_traced(*, checkout: Path, by_websocket: bool = False) -> Iterator[Server]:
    """Run an edge of a checkout that counts the bytes of its objects."""
    with TemporaryDirectory(prefix="bench-traced-") as folder:
        traced = {"PYTHONTRACEMALLOC": "1", "PYTHONPATH": str(TRACING), "BENCH_TRACED": str(Path(folder, "bytes"))}
        with serving_edge(checkout=checkout, variables=traced) as edge:
            yield edge._replace(by_websocket=by_websocket)


def measure_objects(server: Server, count: int) -> Costs:
    """Return the bytes of objects that each stream takes, on one channel and on a channel each."""
    return {key: cost_of_streams(server, count, suffix) for key, suffix in CHANNELS.items()}


def cost_of_streams(server: Server, count: int, suffix: str) -> float:
    """Open streams on a path with this suffix, and close them."""
    with server.running_load() as load:
        load.open_streams(1, stream_path(server) + suffix)  # what only the first one makes
        before = traced_bytes(server)
        load.open_streams(count, stream_path(server) + suffix)
        return (traced_bytes(server) - before) / count


def traced_bytes(server: Server) -> int:
    """Return how many bytes the objects of a traced edge take."""
    server.settle()
    result = Path(variable(server.pid, "BENCH_TRACED"))
    result.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR2)
    wait_until(partial(Path.exists, result), "the count of objects")
    return int(result.read_text())


def variable(pid: int, name: str) -> str:
    """Return a variable of a process's environment."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(entry.decode().split("=", 1) for entry in entries if entry)[name]
