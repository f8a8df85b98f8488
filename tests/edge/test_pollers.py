"""Pollers between two polls: how long they count, and that they are not remembered for ever."""

from edge.pollers import AwayPollers
from edge.state import Job
from tests.edge.usual_log import at, channel_at


def test_pollers_away_count_until_they_are_overdue() -> None:
    """A client between two polls is connected until its time is over."""
    channel = channel_at(5)
    channel.poller_left(100.0, until=130.0)
    channel.poller_left(110.0, until=140.0)
    assert [channel.subscribers(now) for now in (100.0, 129.9, 130.0, 139.9, 140.0)] == [2, 2, 1, 1, 0]


def test_pollers_that_leave_within_a_second_are_one_count() -> None:
    """However many they are, and what is overdue is dropped: the memory of a channel's pollers is bounded."""
    pollers = AwayPollers("room")
    for number in range(100_000):
        now = number // 100
        (departed,) = pollers.add(now, until=now + 30, tag=number)
        assert departed.first == now * 100
    assert len(pollers._counts) == 30
    assert pollers.count(999) == 3000


def test_one_who_is_known_by_the_position_only_is_taken_out_there() -> None:
    """From that position or a later one, the last first; not from an earlier one, and nobody whose connection stays."""
    pollers = AwayPollers("room")
    departed = [pollers.add(now, until=now + 30, tag=now)[0] for now in (100, 101, 102)]
    assert pollers.take_free(103, 102) is None
    for one in departed:
        one.free = 1
    assert pollers.take_free(103, 99) is None
    assert pollers.take_free(103, 101) is departed[1]
    assert pollers.take_free(103, 101) is departed[0]
    assert pollers.take_free(103, 101) is None
    assert pollers.take_free(132, 500) is None, "that one is overdue"
    assert pollers.count(103) == 1


def test_the_position_is_the_one_that_the_poller_was_sent() -> None:
    """While a job is written, that is the job's: the channel may be further already."""
    channel = channel_at(5)
    channel.job = Job(channel, [], 1)
    channel.last = at(9)
    assert channel.poller_left(100.0, until=130.0)[0].first == at(5).tag
    channel.job = None
    assert channel.poller_left(101.0, until=131.0)[0].first == at(9).tag
