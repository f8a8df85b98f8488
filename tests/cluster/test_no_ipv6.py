"""A machine without IPv6: nothing has to be set, and one line says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.clients import StreamClient
from tests.cluster.processes import Cluster
from tests.cluster.running import running

#: What Python does where the kernel has no IPv6; Python imports it when a process starts.
NO_IPV6 = """\
import errno
import os
import socket


class Socket(socket.socket):
    def __init__(self, family=-1, *arguments, **options):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        super().__init__(family, *arguments, **options)


socket.socket = Socket
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Return a cluster with the default hosts on such a machine."""
    (tmp_path / "sitecustomize.py").write_text(NO_IPV6)
    cluster = Cluster(tmp_path, edges="a", PYTHONPATH=str(tmp_path))
    cluster.a.leave_at_default("COMET_EDGE_HOST")
    cluster.publisher.leave_at_default("COMET_PUBLISHER_HOST")
    with running(cluster):
        yield cluster


def test_processes_listen_on_ipv4_and_say_so_once(cluster: Cluster) -> None:
    """An edge would listen on `::` and a publisher on both loopbacks: a message goes all the way."""
    with StreamClient(cluster.a.port, "room") as subscriber:
        assert cluster.publish("room", "hi").text == "ok\n"
        assert subscriber.receive() == "hi"
    assert cluster.a.whole_log.count("this machine has no IPv6") == 1
    assert "this machine has no IPv6" not in cluster.publisher.whole_log  # it listens on `localhost`, as it was told
