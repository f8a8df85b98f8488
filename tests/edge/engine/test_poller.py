"""Pollers: epoll, and the standard library's selectors with its face."""

import select
import socket
from collections.abc import Iterator

import pytest

from edge.engine.poller import ERROR, HANGUP, READ, READ_HANGUP, WRITE, Poller
from tests.edge.seats_on_sockets import POLLERS, SeatsOnSockets


@pytest.fixture(params=POLLERS)
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    """Yield a poller of each kind."""
    it: Poller = request.param()
    yield it
    it.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield two ends of a connection."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_client_that_hangs_up_is_reported(sockets: SeatsOnSockets) -> None:
    """A hang-up shows as something to read, or as what it is."""
    seat, client = sockets.connect()
    assert sockets.events(seat) == 0
    client.close()
    assert sockets.events(seat) & (READ | READ_HANGUP | HANGUP)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="epoll is Linux")
def test_our_numbers_are_epolls() -> None:
    """The literals used on every platform are those of epoll."""
    theirs = (select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP, select.EPOLLRDHUP)
    assert theirs == (READ, WRITE, ERROR, HANGUP, READ_HANGUP)


def test_pollers_nest(sockets: SeatsOnSockets) -> None:
    """A poller's own descriptor is readable when one of its seats is."""
    _, client = sockets.connect()
    assert select.select([sockets.poller.fileno()], [], [], 0)[0] == []
    client.send(b"x")
    assert select.select([sockets.poller.fileno()], [], [], 0)[0] == [sockets.poller.fileno()]


def test_a_descriptor_is_watched_for_what_was_asked_last(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Reading, writing, both or nothing; what is not watched is not reported, though it is ready."""
    ours, theirs = pair
    theirs.send(b"x")
    reported: list[dict[int, int]] = []
    poller.register(ours.fileno(), READ)
    for events in (READ, WRITE, READ | WRITE, 0):
        poller.modify(ours.fileno(), events)
        reported.append(dict(poller.poll(0, 10)))
    assert reported == [{ours.fileno(): READ}, {ours.fileno(): WRITE}, {ours.fileno(): READ | WRITE}, {}]


def test_an_unwatched_descriptor_is_not_reported(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """It may be watched again, as another connection with the same number is."""
    ours, theirs = pair
    theirs.send(b"x")
    poller.register(ours.fileno(), READ)
    poller.unregister(ours.fileno())
    assert poller.poll(0, 10) == []
    poller.register(ours.fileno(), READ)
    assert poller.poll(0, 10) == [(ours.fileno(), READ)]


def test_a_batch_has_at_most_the_events_that_were_asked_for(poller: Poller) -> None:
    """The others are found by the next call, for they are still ready."""
    pairs = [socket.socketpair() for _ in range(5)]
    for ours, theirs in pairs:
        poller.register(ours.fileno(), READ)
        theirs.send(b"x")
    assert len(poller.poll(0, 2)) == 2
    assert len(poller.poll(0, 10)) == 5
    for ours, theirs in pairs:
        poller.unregister(ours.fileno())
        ours.close()
        theirs.close()
