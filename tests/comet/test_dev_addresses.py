"""`comet dev` prints addresses of localhost, and each is good for a client of IPv4 and for one of IPv6."""

import re
import socket

import pytest

from common.service.addresses import has_address
from tests.comet.test_dev import Dev, dev  # noqa: F401  # the fixture


@pytest.mark.skipif(not has_address("::1"), reason="this machine has no IPv6")
def test_localhost_works_from_any_client(dev: Dev) -> None:  # noqa: F811
    """Node 17 to 19 and some others take it for ::1 only, where nothing listened; all seven ports are reached now."""
    ports = {int(port) for port in re.findall(r"//localhost:([0-9]+)", dev.text)}
    assert len(ports) == 7
    for port in ports:
        for where in ("127.0.0.1", "::1"):
            socket.create_connection((where, port), 2).close()
