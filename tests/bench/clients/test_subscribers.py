"""The subscribers: their program compiles without a warning, counts what it gets, and comes back when it is cut off."""

import shutil
from collections.abc import Iterator

import pytest

from bench.clients.publishing import ReferencePublisher, publishing_to_reference, stamped
from bench.clients.subscribers import Subscribers, all_times, command_all, running_subscribers, wait_for_all
from bench.servers.peers import running_reference
from bench.system.programs import compile_c

CONNECTIONS = 50

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")


@pytest.fixture
def port() -> Iterator[int]:
    """The port of the reference, freshly started."""
    with running_reference(compile_c("reference")) as (_, port):
        yield port


@pytest.fixture
def publisher(port: int) -> Iterator[ReferencePublisher]:
    """A publisher to it."""
    with publishing_to_reference(port) as publisher:
        yield publisher


@pytest.fixture
def clients() -> Iterator[list[Subscribers]]:
    """Two processes of them."""
    with running_subscribers(2, seconds=10) as clients:
        yield clients


def open_all(clients: list[Subscribers], port: int) -> None:
    """Seat all connections of both processes."""
    for one in clients:
        one.open(CONNECTIONS, port, "/sse?id=room#", modulo=7)
    assert wait_for_all(clients).held == 2 * CONNECTIONS


def test_every_stream_gets_every_message_and_knows_how_long_it_took(
    port: int, publisher: ReferencePublisher, clients: list[Subscribers]
) -> None:
    """Three messages, in one burst."""
    open_all(clients, port)
    publisher.publish([stamped()] * 3)
    state = command_all(clients, f"wait {3 * CONNECTIONS}")
    assert state.messages == 6 * CONNECTIONS
    assert state[2:] == (0, 0, 0, 0, 0)
    times = all_times(clients, "latencies")
    assert len(times) == 6 * CONNECTIONS
    assert 0 < times[0] <= times[-1] < 10_000
    assert all_times(clients, "latencies") == []


def test_a_stream_that_missed_a_message_says_so(
    port: int, publisher: ReferencePublisher, clients: list[Subscribers]
) -> None:
    """The reference has no history: a welcome at another position, or a later offset, is a loss."""
    open_all(clients, port)
    assert command_all(clients, "drop").held == 0
    publisher.publish([stamped()])
    state = command_all(clients, f"back {port} 0")
    assert (state.held, state.lost, state.messages) == (2 * CONNECTIONS, 2 * CONNECTIONS, 0)
    assert [offset for _, offset in clients[0].positions()] == [1] * CONNECTIONS


def test_a_stream_that_is_forgotten_begins_anew(port: int, clients: list[Subscribers]) -> None:
    """The same process may be used again, and its streams are numbered round and round."""
    open_all(clients, port)
    command_all(clients, "forget")
    open_all(clients, port)
    assert [number for number, _ in clients[0].positions()] == [number % 7 for number in range(CONNECTIONS)]


def test_an_answer_that_is_no_stream_is_said(port: int, clients: list[Subscribers]) -> None:
    """A wrong answer must not look like a slow one."""
    clients[0].open(1, port, "/nowhere")
    with pytest.raises(RuntimeError, match=r"answered: HTTP/1.1 404"):
        clients[0].wait()
