"""What is kept for a moment: whoever asks in time gets the same, and what was used longest ago goes first."""

from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.channels.kept import KEPT_SECONDS, Kept, first_expiry
from tests.edge.edge_without_redis import FakeClock
from tests.edge.usual_log import stored


class Thing:
    """Something that others may ask for."""

    def __init__(self, expires: float = float("inf")) -> None:
        self.expires = expires


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def kept(clock: FakeClock) -> Kept[str, Thing]:
    """Return nothing kept."""
    return Kept(clock)


def test_what_is_asked_for_goes_on_being_kept(kept: Kept[str, Thing], clock: FakeClock) -> None:
    """A moment from its last use; then it is gone."""
    thing = kept.keep("a", Thing())
    for _ in range(3):
        clock.now += KEPT_SECONDS / 2
        assert not kept.tick()
        assert kept.find("a", 0.0) is thing
    clock.now += KEPT_SECONDS
    assert not kept.tick()
    assert (kept.find("a", 0.0), len(kept)) == (None, 0)


def test_what_has_expired_is_not_found(kept: Kept[str, Thing]) -> None:
    """At its time nobody gets it any more."""
    thing = kept.keep("a", Thing(expires=5.0))
    assert kept.find("a", 4.9) is thing
    assert kept.find("a", 5.0) is None


def test_nothing_is_dropped_where_nothing_is(kept: Kept[str, Thing]) -> None:
    """The caller learns that there is no more room to be had."""
    kept.keep("a", Thing())
    assert [kept.drop_oldest(), kept.drop_oldest()] == [True, False]


STEPS = st.lists(st.tuples(st.sampled_from(["keep", "find", "drop", "tick"]), st.sampled_from("abc"), st.floats(0, 2)))


@given(STEPS)
def test_the_oldest_goes_first(steps: list[tuple[str, str, float]]) -> None:
    """Whatever is asked for in whatever order: the last uses alone say what is kept, and what goes."""
    clock, used = FakeClock(), OrderedDict[str, float]()
    kept: Kept[str, Thing] = Kept(clock)
    for step, key, pause in steps:
        clock.now += pause
        if step == "keep" or (step == "find" and key in used):
            used[key] = clock.now
            used.move_to_end(key)
        if step == "keep":
            kept.keep(key, Thing())
        elif step == "find":
            assert (kept.find(key, 0.0) is not None) is (key in used)
        elif step == "drop":
            assert kept.drop_oldest() is bool(used and used.popitem(last=False))
        else:
            kept.tick()
            used = OrderedDict((one, at) for one, at in used.items() if at > clock.now - KEPT_SECONDS)
        assert len(kept) == len(used)


def test_the_first_expiry_is_that_of_a_message_that_is_valid() -> None:
    """One that has expired is not sent, and most never do."""
    messages = [stored(offset)._replace(expires=expires) for offset, expires in enumerate([0, 7000, 5000, 3000], 1)]
    assert first_expiry(messages, 4.0) == 5.0
    assert first_expiry(messages, 7.0) == float("inf")
