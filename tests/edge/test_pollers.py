"""Pollers between two polls: how long they count, and that they are not remembered for ever."""

from edge.pollers import AwayPollers
from tests.edge.usual_log import channel_at


def test_pollers_away_count_until_they_are_overdue() -> None:
    """A client between two polls is connected until its time is over."""
    channel = channel_at(5)
    channel.poller_left(100.0, until=130.0)
    channel.poller_left(110.0, until=140.0)
    assert [channel.subscribers(now) for now in (100.0, 129.9, 130.0, 139.9, 140.0)] == [2, 2, 1, 1, 0]


def test_pollers_that_never_come_back_are_not_remembered_for_ever() -> None:
    """A poller without a position is not recognised when it comes back; its place is given up when it is overdue."""
    pollers = AwayPollers()
    for now in range(1000):
        pollers.add(now, until=now + 30)
    assert len(pollers._deadlines) == 30


def test_a_poller_that_came_back_is_counted_once() -> None:
    """A client that polls again is no longer away; more returns than departures do no harm."""
    channel = channel_at(5)
    channel.poller_came_back()
    channel.poller_left(100.0, until=130.0)
    channel.poller_left(100.0, until=130.0)
    channel.poller_came_back()
    assert channel.subscribers(100.0) == 1
    channel.poller_came_back()
    channel.poller_came_back()
    assert channel.subscribers(100.0) == 0
