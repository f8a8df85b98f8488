"""The servers that are compared: each alone on loopback with one worker process, and measured with all its processes.

The edge, the C reference, Nchan with its memory store and with Redis, and a plain aiohttp server. Redis is never
counted, whoever uses it. Nchan is Debian's (`apt-get install nginx-light libnginx-mod-nchan`); where it is not
installed, that is said and the others are measured.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.clients.load import Load, running_load
from bench.clients.publishing import Publisher, publishing_by_http, publishing_to_redis, publishing_to_reference
from bench.report.results_file import say
from bench.servers.edges import running_fleet
from bench.system.processes import (
    CHECKOUT,
    _accepts,
    _wait_until,
    compile_c,
    cpu_ns,
    free_port,
    pss_bytes,
    running,
    running_reference,
    running_valkey,
    settle,
)

NCHAN_MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules")

PADDING = "X: \r\n"  # around what is added to a head

# History as the edge keeps it (100 messages, 300 s); nobody is sent anything by the clock. The store has to be named
# in each location: Nchan does not inherit it.
NCHAN_CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 19990; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    nchan_shared_memory_size 512M;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        nchan_channel_id $arg_id;
        nchan_message_buffer_length 100;
        nchan_message_timeout 300;
        nchan_subscriber_first_message newest;
        nchan_subscriber_timeout 0;
        nchan_eventsource_ping_interval 0;
        location = /sse {{ nchan_subscriber eventsource; {store} }}
        location = /poll {{ nchan_subscriber longpoll; {store} {padding} }}
        location = /pub {{ nchan_publisher http; {store} }}
    }}
}}
"""


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


@contextmanager
def serving_edge(*, plain: bool = False, checkout: Path = CHECKOUT, **settings: str) -> Iterator[Server]:
    """Run an edge of a checkout with a Redis of its own; `settings` are `COMET_*` variables without the prefix."""
    with ExitStack() as stack:
        url = stack.enter_context(running_valkey())
        fleet = stack.enter_context(running_fleet(1, url, checkout=checkout, **settings))
        pid, port, admin_port = fleet.edges[0]
        connect = partial(publishing_to_redis, url, plain=plain)
        publisher = stack.enter_context(connect())
        yield Server("edge", pid, port, publisher, connect, admin_port=admin_port, redis_port=fleet.redis_port)


@contextmanager
def serving_websocket(*, plain: bool = False, checkout: Path = CHECKOUT) -> Iterator[Server]:
    """Run an edge whose streams are WebSockets."""
    with serving_edge(plain=plain, checkout=checkout) as edge:
        yield edge._replace(name="websocket", by_websocket=True)


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
        _wait_until(lambda: _accepts(port), "aiohttp")
        with publishing_by_http(port) as publisher:
            yield Server("aiohttp", pid, port, publisher, partial(publishing_by_http, port))


@contextmanager
def serving_nchan(more_head: int = 0) -> Iterator[Server]:
    """Run nginx with Nchan and its memory store; the heads of its answers get so many bytes more."""
    padding = f"add_header X {'x' * (more_head - len(PADDING))};" if more_head > len(PADDING) else ""
    with _running_nginx("nchan", padding=padding) as server:
        yield server


@contextmanager
def serving_nchan_redis() -> Iterator[Server]:
    """Run nginx with Nchan and a Redis of its own."""
    with running_valkey() as url:
        upstream = f"upstream store {{ nchan_redis_server {url}; }}"
        with _running_nginx("nchan-redis", upstream, "nchan_redis_pass store;") as server:
            yield server._replace(redis_port=urlsplit(url).port or 0)


@contextmanager
def _running_nginx(name: str, upstream: str = "", store: str = "", padding: str = "") -> Iterator[Server]:
    program, module, port = _nginx(), nchan_module(), free_port()
    if not program or not module:
        raise RuntimeError("Nchan is not installed")
    with TemporaryDirectory(prefix="bench-nginx-") as directory:
        config = Path(directory) / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else the worker would be another user's process
        values = {"module": module, "user": user, "directory": directory, "port": port}
        config.write_text(NCHAN_CONFIG.format(**values, upstream=upstream, store=store, padding=padding))
        with running(name, [program, "-p", directory, "-c", str(config), "-e", "stderr"]) as pid:
            _wait_until(lambda: _takes_messages(port), name)
            with publishing_by_http(port) as publisher:
                connect = partial(publishing_by_http, port)
                yield Server(name, pid, port, publisher, connect, says_welcome=False)


def _takes_messages(port: int) -> bool:
    """Say whether Nchan has found its Redis, too, if it has one."""
    try:
        with publishing_by_http(port) as publisher:
            publisher.publish([b"hello"], "warm-up")
    except (OSError, RuntimeError):
        return False
    return True


def nchan_module() -> Path | None:
    """Return nginx's Nchan module if both are installed."""
    found = (Path(directory) / "ngx_nchan_module.so" for directory in NCHAN_MODULES)
    return next((path for path in found if _nginx() and path.exists()), None)


def _nginx() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def peers() -> dict[str, Serving]:
    """Return the servers to compare with that can run here, and say which cannot."""
    if nchan_module():
        nchan: dict[str, Serving] = {"nchan": serving_nchan, "nchan-redis": serving_nchan_redis}
    else:
        nchan = {}
        say("without Nchan: it is not installed (Debian: apt-get install nginx-light libnginx-mod-nchan)")
    return nchan | {"aiohttp": serving_aiohttp}
