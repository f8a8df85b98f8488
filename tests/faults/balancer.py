"""A real load balancer in front of the edges: nginx, one worker, each request to the next edge."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import HOST, Process, accepts, free_ports
from tests.cluster.waiting import until

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 100; }}
http {{
    log_format turns '$upstream_addr $status $connection';
    access_log {folder}/turns.log turns;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream edges {{
        {servers}
        keepalive 8;
    }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://edges;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


class Request(NamedTuple):
    """One request that nginx answered: the edge that it asked, what that said, and the client's connection."""

    edge: int
    status: int
    connection: str


class Balancer(Process):
    """Debian's nginx with these edges behind it, in turn."""

    def __init__(self, edges: Sequence[int], folder: Path) -> None:
        (self.port,) = free_ports(1)
        self._folder = folder
        servers = "\n        ".join(f"server {HOST}:{port};" for port in edges)
        config = folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, servers=servers, host=HOST, port=self.port))
        program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        assert program, "nginx is not installed (Debian: apt-get install nginx-light)"
        super().__init__("nginx", [program, "-p", str(folder), "-c", str(config)], {}, folder)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        super().start()
        until(lambda: accepts(self.port))

    def requests(self) -> list[Request]:
        """Return what was asked so far, in order."""
        fields = [line.split() for line in (self._folder / "turns.log").read_text().splitlines()]
        return [Request(int(edge.rpartition(":")[2]), int(status), connection) for edge, status, connection in fields]
