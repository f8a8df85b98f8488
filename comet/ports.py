"""The ports of a development cluster, and whether they are free."""

import socket
from contextlib import closing
from typing import NamedTuple

from comet.errors import DevError
from common.service.addresses import ALL, ALL_IPV4, has_address, open_listeners

ADMIN_OFFSET = 1000  # an internal port is its public port plus this
REDIS_PORT = 6379


class Ports(NamedTuple):
    """The public ports; the name of a field is also that of its flag."""

    port: int
    second_port: int
    publisher_port: int


def check_ports(ports: Ports) -> None:
    """Raise `DevError` that names the first port that is taken, and the flag that chooses another."""
    wanted = [(port + offset, field) for field, port in ports._asdict().items() for offset in (0, ADMIN_OFFSET)]
    numbers = [port for port, _ in wanted]
    if len(set(numbers)) < len(numbers):
        raise DevError(f"the ports must differ, the internal ones (each {ADMIN_OFFSET} higher) included: {numbers}")
    for port, field in wanted:
        if not is_free(port):
            flag = "--" + field.replace("_", "-")
            internal = f" (an internal port is always {ADMIN_OFFSET} higher)" if port not in ports else ""
            raise DevError(f"port {port} is taken; stop its program, or choose another port with {flag}{internal}")


def is_free(port: int) -> bool:
    """Say whether a port can be listened on, on every address of this machine."""
    try:
        listeners = open_listeners(ALL if has_address(ALL) else ALL_IPV4, port)
    except OSError:
        return False
    for listener in listeners:
        listener.close()
    return True


def redis_port() -> int:
    """Return Redis's usual port, or any free one if that is taken."""
    if is_free(REDIS_PORT):
        return REDIS_PORT
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])
