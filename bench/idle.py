"""What a connection at rest costs: CPU of one edge per connection and second, heartbeats included.

Run: python -m bench.idle [--connections N] [--seconds S]. The bar is 0.5 microseconds.
"""

import argparse
import sys
import time

from bench.load import running_load
from bench.processes import compile_c, cpu_ns, running_edge, running_valkey
from bench.results_file import save, say

HEARTBEAT = 25  # seconds, the default; heartbeats are spread over it
BAR = 0.5


def measure(connections: int, seconds: int) -> tuple[float, float]:
    """Return microseconds of CPU per second: of each of many connections at rest, and of an edge without any."""
    with running_valkey() as url, running_edge(url, {"COMET_HEARTBEAT": str(HEARTBEAT)}) as (pid, port):
        empty = spent(pid, seconds)
        with running_load(compile_c("load"), port) as load:
            load.open_streams(connections, "/sse?id=room")
            time.sleep(HEARTBEAT)  # until the heartbeats have found their pace
            full = spent(pid, seconds)
    return (full - empty) / connections, empty


def spent(pid: int, seconds: int) -> float:
    """Return the microseconds of CPU that a process uses in a second, on average."""
    before, began = cpu_ns(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_ns(pid) - before) / 1000 / (time.monotonic() - began)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=50)
    options = parser.parse_args()
    each, empty = measure(options.connections, options.seconds)
    rows = {"CPU/connection and second, µs": {"edge": each}, "CPU/second of an empty edge, µs": {"edge": empty}}
    save("idle", f"{options.connections} SSE connections at rest", rows, bar=BAR)
    say(f"{'ok  ' if each <= BAR else 'over'}  {each:.3f} µs per connection and second, at most {BAR}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
