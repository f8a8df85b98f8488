"""What a reader has to know about the machine and the Python that numbers come from."""

import os
import platform
import sys
import sysconfig
from pathlib import Path

from common.service.version import our_build


def machine() -> dict[str, object]:
    """Return what belongs beside every number."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_build": build(),
        "edge_build": our_build(),
        "cpu": cpu(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "load_average_at_end": os.getloadavg()[0],
    }


def line() -> str:
    """Return the same in a line, as it is printed over each table."""
    has = machine()
    what = f"{has['edge_build']} build of the edge on {has['python']}, {has['python_build']}"
    return f"{what}; {has['cores']} cores of {has['cpu']}, Linux {has['kernel']}"


def build() -> str:
    """Say how this Python was built: one without optimisations takes 1.3 to 1.5 times as long."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return describe(arguments, debian=sys.base_prefix == "/usr" and Path("/etc/debian_version").exists())


def describe(arguments: str, *, debian: bool) -> str:
    """Say what the arguments of Python's `configure` mean; Debian optimises without them, in its own make file."""
    if debian:
        return "optimised (Debian's build)"
    if "--enable-optimizations" in arguments:
        return "optimised (--enable-optimizations)"
    return "NOT OPTIMISED (built without --enable-optimizations): expect 1.3 to 1.5 times the CPU"


def cpu() -> str:
    """Return the name of this processor."""
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.machine()
