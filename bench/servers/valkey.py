"""The Valkey or Redis of a benchmark, started empty."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from bench.system.processes import accepts, free_port, running, wait_until
from bench.system.programs import valkey_program


@contextmanager
def running_valkey() -> Iterator[str]:
    """Run an empty Valkey or Redis while the block runs and yield its URL."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with running("valkey", [valkey_program(), *options]):
        wait_until(lambda: accepts(port), "valkey")
        yield f"redis://127.0.0.1:{port}"


def pid_of_redis(url: str) -> int:
    """Return the pid of a Redis or Valkey on this machine."""
    with Redis.from_url(url) as redis:
        return int(redis.info("server")["process_id"])
