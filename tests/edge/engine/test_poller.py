"""Pollers: epoll, and the standard library's selectors with its face."""

import select

import pytest

from edge.engine.poller import ERROR, HANGUP, READ, READ_HANGUP, WRITE
from tests.edge.engine.seats_on_sockets import SeatsOnSockets


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
