"""The real load balancers with the shipped configurations: only addresses, paths, time-outs and limits are put in."""

import http.client
import re
import shutil
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import HOST, ROOT, Cluster, Process, Service, free_ports
from tests.cluster.waiting import until
from tests.lb.names import NAME
from tests.lb.talking import ask, listening

DEPLOY = ROOT / "deploy"
TIME_OUTS = ("330s", "10s")  # what all shipped configurations give a silent connection, and an unfinished request


class Edge(Service):
    """An edge with an address and ports of our choice: a balancer checks all edges on one internal port."""

    def __init__(self, name: str, host: str, ports: tuple[int, int], redis_url: str, folder: Path, **more: str) -> None:
        self.host = host
        where = {
            "COMET_EDGE_HOST": host,
            "COMET_ADMIN_HOST": host,
            "COMET_EDGE_PORT": str(ports[0]),
            "COMET_EDGE_ADMIN_PORT": str(ports[1]),
        }
        super().__init__("edge", name, redis_url, where | more, folder)
        self.port, self.admin_port = ports

    def status(self, path: str) -> int:
        """Return the status of a page on the internal port; 0 while nothing answers there."""
        assert self.alive, f"{self.name} has ended:\n{self.log}"
        try:
            return ask(self.host, self.admin_port, path).status
        except (OSError, http.client.HTTPException):
            return 0

    @property
    def held(self) -> int:
        """How many subscribers it holds; connections that wait for a next request do not count."""
        text = ask(self.host, self.admin_port, "/metrics").text
        return int(sum(map(float, re.findall(r"^comet_connections\{.*\} (.*)$", text, re.MULTILINE))))


def edges_behind(folder: Path, **settings: str) -> Cluster:
    """Return a cluster whose two edges have the same ports on two addresses, as on two machines."""
    cluster = Cluster(folder, edges="", COMET_EDGE_URL="/", **settings)  # pages come from the balancer, too
    ports = free_ports(2)
    cluster.edges = [
        Edge(f"edge-{name}", host, (ports[0], ports[1]), cluster.valkey.url, folder, **settings)
        for name, host in (("a", "127.0.0.1"), ("b", "127.0.0.2"))
    ]
    cluster.services = (*cluster.edges, cluster.publisher)
    return cluster


class Certificate(NamedTuple):
    """A self-signed certificate, in the forms that the programs want."""

    chain: Path
    key: Path
    both: Path


def self_signed(folder: Path) -> Certificate:
    """Make a certificate for localhost and 127.0.0.1."""
    made = Certificate(folder / "cert.pem", folder / "key.pem", folder / "both.pem")
    ask = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    ask += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*ask, "-out", made.chain, "-keyout", made.key], check=True, capture_output=True)
    made.both.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
    return made


class Balancer(Process):
    """A load balancer on `port`, and with a certificate on `tls_port`, in front of edges and a publisher."""

    program: str

    def __init__(
        self,
        folder: Path,
        edges: Sequence[Edge],
        publisher: Service,
        *,
        time_out: str = "",
        certificate: Certificate | None = None,
        per_address: int = 10_000,
        demo: str = "",
    ) -> None:
        self.port, self.tls_port, self.own_port = free_ports(3)
        self._folder, self._edges, self._publisher = folder, (*edges, *edges)[:2], publisher
        self._time_out, self._certificate, self._per_address = time_out, certificate, per_address
        self._demo = demo  # as LB_DEMO; empty: it is unset
        name = type(self).__name__.lower()
        super().__init__(name, self._command_line(), self._environment(), folder)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        super().start()
        until(lambda: listening(self.tls_port if self._certificate else self.port) or self._still_starting())

    @abstractmethod
    def _command_line(self) -> list[str]:
        """Write the configuration, and return the command that runs it in the foreground."""

    def _environment(self) -> dict[str, str]:
        return {"LB_DEMO": self._demo} if self._demo else {}

    @property
    def access_log(self) -> str:
        """All that it wrote of the requests that it got."""
        return self.whole_log

    def _still_starting(self) -> bool:
        assert self.alive, self.log
        return False

    def _shipped(self, path: str, *changes: tuple[str, str]) -> Path:
        """Copy a shipped file with its addresses changed; every change must find something to change."""
        text = (DEPLOY / path).read_text()
        for old in TIME_OUTS if self._time_out else ():
            text = text.replace(f" {old}", f" {self._time_out}")
        for old, new in changes:
            assert old in text, f"{path} does not have {old!r}"
            text = text.replace(old, new)
        copy = self._folder / Path(path).name
        copy.write_text(text)
        return copy


class Nginx(Balancer):
    """nginx, with deploy/nginx."""

    program = "nginx"

    def _command_line(self) -> list[str]:
        folder = self._folder
        one, other = self._edges
        self._shipped(
            "nginx/edges.conf",
            ("127.0.0.1:8080", f"{one.host}:{one.port}"),
            ("127.0.0.1:8090", f"{other.host}:{other.port}"),
            ("127.0.0.1:8081", f"{HOST}:{self._publisher.port}"),
        )
        self._shipped("nginx/demo.conf")
        self._shipped("nginx/routes.conf", *[("# include demo.conf;", "include demo.conf;")] * (self._demo == "1"))
        changes = [
            ("listen 8000", f"listen {HOST}:{self.port}"),
            ("/var/log/nginx/access.log", str(folder / "access.log")),
            ("/var/log/nginx/error.log", "stderr"),
            ("/tmp/comet-nginx", str(folder / "temp")),
            ("limit_conn held 10000", f"limit_conn held {self._per_address}"),
        ]
        if self._certificate is not None:
            changes.append(("# include tls.conf;", "include tls.conf;"))
            self._shipped(
                "nginx/tls.conf",
                ("listen 8443", f"listen {HOST}:{self.tls_port}"),
                ("/etc/ssl/comet", str(self._certificate.key.parent)),
            )
        main = self._shipped("nginx/nginx.conf", *changes)
        # Its workers outlive a master that is killed; one process does not, however the test run ends.
        return ["nginx", "-c", str(main), "-g", f"daemon off; master_process off; pid {folder}/nginx.pid;"]

    @property
    def access_log(self) -> str:
        """All that it wrote of the requests that it got; its error log, which names those that failed, is another."""
        return (self._folder / "access.log").read_text()


class Haproxy(Balancer):
    """HAProxy, with deploy/haproxy."""

    program = "haproxy"

    def _command_line(self) -> list[str]:
        one, other = self._edges
        config = self._shipped(
            "haproxy/haproxy.cfg",
            ("127.0.0.1:8080", f"{one.host}:{one.port}"),
            ("127.0.0.1:8090", f"{other.host}:{other.port}"),
            ("check port 9080", f"check port {one.admin_port}"),
            ("check port 9090", f"check port {other.admin_port}"),
        )
        return ["haproxy", "-db", "-f", str(config)]

    def _environment(self) -> dict[str, str]:
        plain = super()._environment() | {
            "LB_BIND": f"{HOST}:{self.port}",
            "LB_ADMIN_BIND": f"{HOST}:{self.own_port}",
            "LB_PUBLISHER": f"{HOST}:{self._publisher.port}",
            "LB_PER_ADDRESS": str(self._per_address),
        }
        if self._certificate is None:
            return plain
        return plain | {"LB_TLS_BIND": f"{HOST}:{self.tls_port}", "LB_CERT": str(self._certificate.both)}


class DiscoveringHaproxy(Haproxy):
    """HAProxy that asks a name server of ours for the edges."""

    def __init__(self, folder: Path, edges: Sequence[Edge], publisher: Service, name_server: int) -> None:
        self._name_server = name_server
        super().__init__(folder, edges, publisher)

    def _command_line(self) -> list[str]:
        config = self._shipped(
            "haproxy/haproxy.cfg",
            ("parse-resolv-conf", f"nameserver ours {HOST}:{self._name_server}"),
            ('"${LB_EDGES_DNS}:8080"', f'"${{LB_EDGES_DNS}}:{self._edges[0].port}"'),
            ("check port 9080", f"check port {self._edges[0].admin_port}"),
        )
        return ["haproxy", "-db", "-f", str(config)]

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"LB_EDGES_DNS": NAME}


class Caddy(Balancer):
    """Caddy, with deploy/caddy; it serves either plainly or by TLS."""

    program = "caddy"

    def _command_line(self) -> list[str]:
        config = self._shipped("caddy/Caddyfile")
        return ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]

    def _environment(self) -> dict[str, str]:
        held = self._certificate
        site = f"https://localhost:{self.tls_port}" if held else f"http://:{self.port}"
        return super()._environment() | {
            "HOME": str(self._folder),
            "LB_SITE": site,
            "LB_TLS": f"tls {held.chain} {held.key}" if held else "",
            "LB_EDGES": " ".join(f"{edge.host}:{edge.port}" for edge in self._edges),
            "LB_EDGES_HEALTH": str(self._edges[0].admin_port),
            "LB_PUBLISHER": f"{HOST}:{self._publisher.port}",
        }


BALANCERS: tuple[type[Balancer], ...] = (Nginx, Haproxy, Caddy)


def installed(kind: type[Balancer]) -> bool:
    """Say whether the program is on this machine."""
    return shutil.which(kind.program) is not None
