"""A Docker engine of our own in one folder: started for the tests, then gone with all it did to the machine."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.waiting import until

PATIENCE = 30.0  # seconds that the engine gets to end its containers
TABLES = ("filter", "nat")
POOL = "10.213."  # addresses of our containers, so that no rule for them is taken for another's
MARKS = ("docker", " br-", POOL)  # what the engine's rules have in them
LOG_TAIL = 4000  # characters


class EngineError(Exception):
    """The engine cannot be had here; the text says why."""


class Engine:
    """A `dockerd` that runs, and the docker client that talks to it."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.environment = os.environ | {
            "DOCKER_HOST": f"unix://{folder}/docker.sock",
            "DOCKER_CONFIG": str(folder / "config"),
            "DOCKER_BUILDKIT": "1",
            "COMPOSE_BAKE": "false",
        }
        self._folder = folder
        self._process = process

    @property
    def log(self) -> str:
        """The end of what the engine wrote."""
        return (self._folder / "dockerd.log").read_text(errors="replace")[-LOG_TAIL:]

    def __call__(self, *arguments: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Run the docker client to its end and return what it printed; raises with its output if it failed."""
        return run([client(), *arguments], self.environment, stdin=stdin, check=check)

    @contextmanager
    def events(self, *actions: str) -> Iterator[list[dict[str, Any]]]:
        """Collect what happens to containers while the block runs; the list is filled when it has ended."""
        found: list[dict[str, Any]] = []
        wanted = [f"--filter=event={action}" for action in actions]
        command = [client(), "events", "--filter=type=container", *wanted, "--format={{json .}}"]
        with subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE) as following:
            assert following.stdout is not None
            try:
                yield found
            finally:
                following.terminate()
                found += map(json.loads, following.stdout)

    def answers(self) -> bool:
        """Say whether the engine serves; raises `EngineError` if it has ended."""
        if self._process.poll() is not None:
            raise EngineError(f"dockerd ended with code {self._process.returncode}:\n{self.log}")
        asked = subprocess.run([client(), "version"], env=self.environment, capture_output=True, check=False)
        return asked.returncode == 0


def client() -> str:
    """Return the engine's own client; another one on PATH may be too new for it."""
    return "/usr/bin/docker" if Path("/usr/bin/docker").exists() else str(shutil.which("docker"))


def run(command: list[str], environment: dict[str, str], *, stdin: bytes | None = None, check: bool = True) -> str:
    """Run a command to its end and return its output; raises AssertionError with that output if it failed."""
    done = subprocess.run(command, env=environment, input=stdin, capture_output=True, check=False)
    output = done.stdout.decode(errors="replace")
    problem = done.stderr.decode(errors="replace")
    assert not check or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{output}\n{problem}"
    return output


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Run an engine while the block runs; raises `EngineError` if that cannot be here."""
    missing = [name for name in ("dockerd", "docker", "iptables", "setpriv") if shutil.which(name) is None]
    if missing or os.geteuid():
        raise EngineError(f"not found: {', '.join(missing)}" if missing else "only root may start a Docker engine")
    before = Network()
    process = _start(folder)
    try:
        running = Engine(folder, process)
        until(running.answers, PATIENCE)
        yield running
    finally:
        _stop(process)
        before.restore()
        _remove(folder)


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """Start dockerd; if the test run is killed, the kernel asks it to end."""
    places = [f"--data-root={folder}/root", f"--exec-root={folder}/exec", f"--pidfile={folder}/docker.pid"]
    addresses = [f"--bip={POOL}0.1/24", f"--default-address-pool=base={POOL}0.0/16,size=24"]
    options = [*places, *addresses, f"--host=unix://{folder}/docker.sock"]
    command = ["setpriv", "--pdeathsig", "TERM", "dockerd", *options]
    with (folder / "dockerd.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the engine, its containerd and the containers."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # containerd is in its group
        process.wait()


def _remove(folder: Path) -> None:
    """Delete everything, and first whatever is still mounted there."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounted if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder)


class Network:
    """The machine's network as it was before the engine: bridges, packet filter, forwarding."""

    def __init__(self) -> None:
        self._forwarding = Path("/proc/sys/net/ipv4/ip_forward")
        self._forwarded = self._forwarding.read_text()
        self._links = links()
        self._rules = {table: rules(table) for table in TABLES}

    def restore(self) -> None:
        """Remove what was added and leave alone what was there."""
        for link in links() - self._links:
            subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)  # half of a pair is gone
        for table in TABLES:
            self._restore_rules(table)
        self._forwarding.write_text(self._forwarded)

    def _restore_rules(self, table: str) -> None:
        new = [rule for rule in rules(table) if rule not in self._rules[table]]
        added = [rule for rule in new if any(mark in rule.lower() for mark in MARKS)]
        for rule in added:
            if rule.startswith("-A"):
                iptables(table, "-D", *rule.split()[1:])
        for rule in added:
            if rule.startswith("-N"):
                iptables(table, "-X", rule.split()[1])
        for policy in (rule for rule in self._rules[table] if rule.startswith("-P")):
            iptables(table, *policy.split())


def links() -> set[str]:
    """Return the names of all network interfaces."""
    return {path.name for path in Path("/sys/class/net").iterdir() if path.is_symlink()}


def rules(table: str) -> list[str]:
    """Return the rules of a table of the packet filter, each as the options that made it."""
    return iptables(table, "-S").splitlines()


def iptables(table: str, *options: str) -> str:
    """Run iptables on a table; return what it printed."""
    return run(["iptables", "--wait", "-t", table, *options], dict(os.environ))
