"""Nchan, nginx's module for push, with its memory store or with a Redis of its own.

It is Debian's (`apt-get install nginx-light libnginx-mod-nchan`).
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.clients.publishing import publishing_by_http
from bench.servers.server import Server
from bench.servers.valkey import running_valkey
from bench.system.processes import free_port, running, wait_until

NCHAN_MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules")

PADDING = "X: \r\n"  # around what is added to a head

# History as the edge keeps it (100 messages, 300 s); nothing is sent by the clock. The store has to be named in each
# location: Nchan does not inherit it.
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


@contextmanager
def serving_nchan(more_head: int = 0) -> Iterator[Server]:
    """Run nginx with Nchan and its memory store; the heads of its answers get `more_head` bytes more."""
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
            wait_until(lambda: _takes_messages(port), name)
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
