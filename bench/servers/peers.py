"""The servers that an edge is compared with: each alone on loopback, with one worker process.

The C reference, Nchan with its memory store and with Redis, and a plain aiohttp server. All processes of a server are
counted, but never its Redis. Where Nchan is not installed, that is said and the others are measured.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.clients.publishing import publishing_by_http, publishing_to_reference
from bench.report.console import say
from bench.servers.nchan import nchan_module, serving_nchan, serving_nchan_redis
from bench.servers.server import Server, Serving
from bench.system.processes import accepts, free_port, running, wait_until
from bench.system.programs import compile_c


@contextmanager
def running_reference(program: Path, head_bytes: int = 0) -> Iterator[tuple[int, int]]:
    """Run the C reference and yield its pid and its port; the head of a poll's answer has at least `head_bytes`."""
    port = free_port()
    with running("reference", [program, str(port), str(head_bytes)]) as pid:
        wait_until(lambda: accepts(port), "reference")
        yield pid, port


@contextmanager
def serving_reference(head_bytes: int = 0) -> Iterator[Server]:
    """Run the C reference."""
    program = compile_c("reference")
    with running_reference(program, head_bytes) as (pid, port), publishing_to_reference(port) as publisher:
        yield Server("reference", pid, port, publisher, partial(publishing_to_reference, port))


@contextmanager
def serving_aiohttp() -> Iterator[Server]:
    """Run the aiohttp server."""
    port = free_port()
    with running("aiohttp", [sys.executable, "-m", "bench.aiohttp_server", str(port)]) as pid:
        wait_until(lambda: accepts(port), "aiohttp")
        with publishing_by_http(port) as publisher:
            yield Server("aiohttp", pid, port, publisher, partial(publishing_by_http, port))


def peers() -> dict[str, Serving]:
    """Return the servers to compare with that can run here, and say which cannot."""
    if nchan_module():
        nchan: dict[str, Serving] = {"nchan": serving_nchan, "nchan-redis": serving_nchan_redis}
    else:
        nchan = {}
        say("without Nchan: it is not installed (Debian: apt-get install nginx-light libnginx-mod-nchan)")
    return nchan | {"aiohttp": serving_aiohttp}
