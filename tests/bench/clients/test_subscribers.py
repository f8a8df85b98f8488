"""The crowd: it compiles without a warning, counts what it gets, and comes back when it was cut off."""

import shutil
from collections.abc import Iterator

import pytest

from bench.clients.publishing import ReferencePublisher, publishing_to_reference
from bench.clients.subscribers import Crowd, all_times, hear_all, running_crowds, tell_all
from bench.pacing import stamped
from bench.system.processes import compile_c, running_reference

CONNECTIONS = 50

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (`cc`) on this machine")


@pytest.fixture
def port() -> Iterator[int]:
    """The port of the reference, freshly started."""
    with running_reference(compile_c("reference")) as (_, port):
        yield port


@pytest.fixture
def publisher(port: int) -> Iterator[ReferencePublisher]:
    """One who publishes to it."""
    with publishing_to_reference(port) as publisher:
        yield publisher


@pytest.fixture
def crowds() -> Iterator[list[Crowd]]:
    """Two crowds."""
    with running_crowds(2, seconds=10) as crowds:
        yield crowds


def open_all(crowds: list[Crowd], port: int) -> None:
    """Seat all connections of both crowds."""
    for crowd in crowds:
        crowd.open(CONNECTIONS, port, "/sse?id=room#", modulo=7)
    assert hear_all(crowds).held == 2 * CONNECTIONS


def test_every_stream_gets_every_message_and_knows_how_long_it_took(
    port: int, publisher: ReferencePublisher, crowds: list[Crowd]
) -> None:
    """Three messages, in one burst."""
    open_all(crowds, port)
    publisher.publish([stamped()] * 3)
    state = tell_all(crowds, f"wait {3 * CONNECTIONS}")
    assert state.messages == 6 * CONNECTIONS
    assert state[2:] == (0, 0, 0, 0, 0)
    times = all_times(crowds, "latencies")
    assert len(times) == 6 * CONNECTIONS
    assert 0 < times[0] <= times[-1] < 10_000
    assert all_times(crowds, "latencies") == []


def test_who_missed_a_message_says_so(port: int, publisher: ReferencePublisher, crowds: list[Crowd]) -> None:
    """The reference has no history: a welcome at another position, or a later offset, is a loss."""
    open_all(crowds, port)
    assert tell_all(crowds, "drop").held == 0
    publisher.publish([stamped()])
    state = tell_all(crowds, f"back {port} 0")
    assert (state.held, state.lost, state.messages) == (2 * CONNECTIONS, 2 * CONNECTIONS, 0)
    assert [offset for _, offset in crowds[0].positions()] == [1] * CONNECTIONS


def test_who_is_forgotten_begins_anew(port: int, crowds: list[Crowd]) -> None:
    """The same crowd may be used again, and its streams are numbered round and round."""
    open_all(crowds, port)
    tell_all(crowds, "forget")
    open_all(crowds, port)
    assert [number for number, _ in crowds[0].positions()] == [number % 7 for number in range(CONNECTIONS)]


def test_an_answer_that_is_no_stream_is_said(port: int, crowds: list[Crowd]) -> None:
    """A wrong answer must not look like a slow one."""
    crowds[0].open(1, port, "/nowhere")
    with pytest.raises(RuntimeError, match=r"answered: HTTP/1.1 404"):
        crowds[0].hear()
