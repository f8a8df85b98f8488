"""The ports of `comet dev`."""

import socket

import pytest

from comet.ports import ADMIN_OFFSET, Ports
from tests.comet.commands import comet, dev_flags, free_dev_ports


@pytest.mark.parametrize("offset", [0, ADMIN_OFFSET])
@pytest.mark.parametrize("field", Ports._fields)
def test_a_taken_port_is_named(field: str, offset: int) -> None:
    """One line says which port is taken and which flag chooses another; nothing is started."""
    ports = free_dev_ports()
    port = getattr(ports, field) + offset
    with socket.create_server(("127.0.0.1", port)):
        answer = comet(*dev_flags(ports))

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"comet dev: port {port} is taken")
    assert f"--{field.replace('_', '-')}" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_ports_that_collide_are_refused() -> None:
    """Two services cannot share a port, not even an internal one."""
    answer = comet(*dev_flags(Ports(20000, 20000, 20001)))

    assert answer.returncode == 1
    assert "must differ" in answer.stderr
