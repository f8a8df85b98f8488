"""Rates: what a client may do at once, and over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.rates import MIN_SWEEP, Rate
from tests.edge.edge_without_redis import FakeClock


def test_a_bucket_is_emptied_at_once_and_fills_with_time() -> None:
    """Ten in five seconds: ten now, none more, one after half a second."""
    clock = FakeClock()
    rate = Rate(10, 5.0, clock)
    assert [rate.take("a", 1) for _ in range(11)] == [True] * 10 + [False]
    assert rate.take("b", 10)
    clock.now += 0.5
    assert [rate.take("a", 1) for _ in range(2)] == [True, False]
    clock.now += 60
    assert [rate.take("a", 5) for _ in range(3)] == [True, True, False]


def test_more_than_a_bucket_is_paid_for_later() -> None:
    """A page of many channels is let in when its client has used nothing lately."""
    clock = FakeClock()
    rate = Rate(10, 10.0, clock)
    assert rate.take("a", 30)
    clock.now += 20
    assert not rate.take("a", 1)
    clock.now += 1
    assert rate.take("a", 1)
    assert not rate.take("a", 30)


def test_no_limit_and_nothing_cost_nothing() -> None:
    """Zero is off; a client that takes nothing is not remembered."""
    off, on = Rate(0, 1.0, FakeClock()), Rate(1, 1.0, FakeClock())
    assert off.take("a", 10**6)
    assert on.take("a", 0)
    assert (off._buckets, on._buckets) == ({}, {})


def test_clients_that_have_used_nothing_lately_are_forgotten() -> None:
    """However many there are."""
    clock = FakeClock()
    rate = Rate(10, 1.0, clock)
    for number in range(20 * MIN_SWEEP):
        clock.now += 0.01
        rate.take(str(number), 1)
        assert len(rate._buckets) <= MIN_SWEEP


def test_what_a_client_has_had_is_owed() -> None:
    """A replay of 30 bytes, at 10 a second: nothing more for two seconds."""
    clock = FakeClock()
    rate = Rate(10, 1.0, clock)
    assert not rate.is_spent("a")
    rate.spend("a", 30)
    clock.now += 2.0
    assert rate.is_spent("a")
    clock.now += 0.1
    assert not rate.is_spent("a")
    assert not rate.is_spent("b")


def test_without_a_limit_nothing_is_owed() -> None:
    """Zero is off here, too."""
    rate = Rate(0, 1.0, FakeClock())
    rate.spend("a", 10**9)
    assert not rate.is_spent("a")
    assert rate._buckets == {}


def test_what_is_left_is_told_and_may_be_forgotten() -> None:
    """Of five a second: two, then less than nothing; a client that went owes nothing."""
    clock = FakeClock()
    rate: Rate[str] = Rate(5, 1.0, clock)
    assert [rate.spend("a", 3), rate.spend("a", 3)] == [2.0, -1.0]
    clock.now += 0.4
    assert rate.spend("a", 0) == pytest.approx(1.0)
    rate.spend("a", 100)
    rate.forget("a")
    rate.forget("b")
    assert rate._buckets == {}
    assert Rate(0, 1.0, clock).spend("a", 3) == 0.0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 5)), max_size=40))
def test_over_any_time_no_more_is_taken_than_a_bucket_and_what_has_run_in(steps: list[tuple[float, int]]) -> None:
    """However the requests lie in time."""
    clock = FakeClock()
    rate: Rate[str] = Rate(5, 1.0, clock)
    start, taken = clock.now, 0
    for seconds, count in steps:
        clock.now += seconds
        taken += count * rate.take("a", count)
        assert taken <= 5 + (clock.now - start) * 5 + 1e-6


def test_who_gets_nothing_is_told_how_long_to_wait() -> None:
    """Until the next fits, or for more than a bucket until it is full."""
    clock = FakeClock()
    rate: Rate[str] = Rate(10, 1.0, clock)
    assert rate.seconds_until("a", 30) == 0.0
    rate.take("a", 30)
    assert rate.seconds_until("a", 1) == pytest.approx(2.1)
    assert rate.seconds_until("a", 100) == pytest.approx(3.0)
    clock.now += 2.1
    assert rate.seconds_until("a", 1) == pytest.approx(0.0)
    assert Rate(0, 1.0, clock).seconds_until("a", 10**6) == 0.0
