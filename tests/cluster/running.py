"""Clusters while they run: started for a test, ended after it, their logs shown if it failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.processes import Cluster

_running: list[Cluster] = []


@contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    """Run a cluster while the block runs."""
    _running.append(cluster)
    try:
        _start(cluster)
        yield cluster
    finally:
        cluster.stop()
        _running.remove(cluster)


def logs() -> list[tuple[str, str]]:
    """Return the logs of all processes of the clusters that run, each with its title."""
    return [(f"log of {one.name}", one.log) for cluster in _running for one in cluster.processes]


def _start(cluster: Cluster) -> None:
    try:
        cluster.start()
    except AssertionError as error:
        for process in cluster.processes:
            error.add_note(f"--- log of {process.name}\n{process.log}")
        raise
