"""What the setting of a host stands for: every address of `localhost`, or of the machine, or IPv4 without IPv6."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientSession, web

from common.service import addresses
from common.service.addresses import ALL, has_address, is_loopback, is_only_here, open_listeners
from common.service.http import listen, port_of

needs_ipv6 = pytest.mark.skipif(not has_address("::1"), reason="this machine has no IPv6")


@contextmanager
def opened(host: str, port: int = 0) -> Iterator[list[socket.socket]]:
    """Listen on a host while the block runs."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(each)) for each in open_listeners(host, port)]


def reaches(where: str, port: int) -> bool:
    """Say whether a client that knows this one address gets in."""
    try:
        socket.create_connection((where, port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system have no IPv6: it opens no such socket."""

    class Ipv4Only(socket.socket):
        def __init__(self, family: int = -1, *more: Any, **named: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "no IPv6")
            super().__init__(family, *more, **named)

    monkeypatch.setattr(socket, "socket", Ipv4Only)


@needs_ipv6
@pytest.mark.parametrize("host", ["localhost", "::"])
def test_a_client_gets_in_by_either_family(host: str) -> None:
    """Some clients take `localhost` for 127.0.0.1 only, some for ::1 only; one port serves both."""
    with opened(host) as listeners:
        port = listeners[0].getsockname()[1]
        assert reaches("127.0.0.1", port)
        assert reaches("::1", port)


@needs_ipv6
@pytest.mark.parametrize(("host", "other"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1"), ("[::1]", "127.0.0.1")])
def test_one_address_is_one_address(host: str, other: str) -> None:
    """Brackets, as in a URL, do not matter."""
    with opened(host) as [listener]:
        where, port = listener.getsockname()[:2]
        assert where == host.strip("[]")
        assert not reaches(other, port)


@pytest.mark.usefixtures("no_ipv6")
def test_without_ipv6_all_addresses_are_those_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default works on every machine; one line says what is missing."""
    log = Mock()
    monkeypatch.setattr(addresses, "get_logger", lambda: log)
    with opened(ALL) as [listener]:
        assert listener.getsockname()[0] == "0.0.0.0"
        assert reaches("127.0.0.1", listener.getsockname()[1])
    log.warning.assert_called_once()
    with opened("localhost") as [listener]:
        assert listener.getsockname()[0] == "127.0.0.1"
    log.warning.assert_called_once()


@pytest.mark.usefixtures("no_ipv6")
def test_an_address_of_ipv6_alone_is_refused_without_ipv6() -> None:
    """Nothing is left to listen on."""
    with pytest.raises(OSError, match="no IPv6"):
        open_listeners("::1", 0)


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("host", ["localhost", "::"])
def test_a_port_that_is_taken_on_one_address_is_taken(host: str, taken: str) -> None:
    """Half of the clients would reach the other program; nothing stays open."""
    with opened(taken) as [other]:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught:
            open_listeners(host, port)
        assert caught.value.errno == errno.EADDRINUSE
    with opened("127.0.0.1", port), opened("::1", port):
        pass


@needs_ipv6
async def test_a_service_answers_on_all_addresses_of_localhost() -> None:
    """The publisher and the internal ports listen like this by default."""

    async def here(request: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", here)
    runner = await listen(app, "localhost", 0, "COMET_PUBLISHER_PORT")
    try:
        async with ClientSession() as session:
            for where in ("127.0.0.1", "[::1]"):
                async with session.get(f"http://{where}:{port_of(runner)}/") as answer:
                    assert await answer.text() == "here"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_an_address_is_of_this_machine_or_not(address: str, is_ours: bool) -> None:
    """As a socket tells it: what looks like one and is none is not."""
    assert is_loopback(address) is is_ours


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("localhost", True),
        ("127.0.0.2", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
    ],
)
def test_a_host_is_reached_from_this_machine_only_or_not(host: str, only_here: bool) -> None:
    """By all of its addresses."""
    assert is_only_here(host) is only_here


def test_a_host_that_cannot_be_looked_up_is_an_error() -> None:
    """As when it is listened on."""
    with pytest.raises(OSError, match=r"."):
        is_only_here("no.invalid")
