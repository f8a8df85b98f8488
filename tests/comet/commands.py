"""The command line as tests run it, and what they ask of its processes."""

import os
import subprocess
import sys
from pathlib import Path

from comet.ports import ADMIN_OFFSET, Ports, is_free
from tests.cluster.processes import free_ports
from tests.cluster.waiting import until

ROOT = Path(__file__).parents[2]


def comet(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "comet", *arguments]
    environment = os.environ | settings
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=20)


def dev_flags(ports: Ports) -> list[str]:
    """Return the arguments that run a development cluster on these ports."""
    return ["dev", *[f"--{name.replace('_', '-')}={port}" for name, port in ports._asdict().items()]]


def free_dev_ports() -> Ports:
    """Return three public ports whose internal ports, too, are free."""
    return until(lambda: _usable(Ports(*free_ports(3))))


def _usable(ports: Ports) -> Ports | None:
    numbers = {port + offset for port in ports for offset in (0, ADMIN_OFFSET)}
    return ports if len(numbers) == 6 and max(numbers) < 65536 and all(map(is_free, numbers)) else None


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for yet is dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
