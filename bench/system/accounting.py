"""What processes use, by the kernel's own accounting: CPU time, memory, descriptors."""

import time
from pathlib import Path

REST_TIMEOUT = 10.0
POLL_INTERVAL = 0.02


def cpu_ns(pid: int) -> int:
    """Return the CPU time (user + system) a process has used, in nanoseconds.

    The scheduler counts it exactly, per thread, in `schedstat`; `stat` and getrusage split it by 10 ms ticks at best.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def pss_bytes(pid: int) -> int:
    """Return the memory a process has made its own, pages shared with its children counted by their share.

    The pages of programs and libraries are left out: their shares change with other processes that run the same ones.
    """
    fields = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return 1024 * sum(int(words[1]) for words in fields if words[0] in {"Pss_Anon:", "Pss_Shmem:"})


def settle(pid: int) -> None:
    """Wait until a process sleeps and uses no CPU: then it has handled all it was sent."""
    deadline = time.monotonic() + REST_TIMEOUT
    before = -1
    while (now := cpu_ns(pid)) != before or not _sleeps(pid):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not come to rest")
        before = now
        time.sleep(POLL_INTERVAL)


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def open_files(pid: int) -> list[str]:
    """Return what the descriptors of a process refer to."""
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.append(str(path.readlink()))
        except FileNotFoundError:  # it was closed meanwhile
            continue
    return links


def sockets_to(port: int) -> set[str]:
    """Return the sockets of this machine that are connected to a port."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {f"socket:[{words[9]}]" for words in lines if int(words[2].rpartition(":")[2], 16) == port}
