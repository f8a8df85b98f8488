"""The timing wheel, with literal times."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.engine.wheel import THINGS_PER_TURN, TICKS_PER_SECOND, Wheel, run_ticks

QUARTER = 1 / TICKS_PER_SECOND


class Thing:
    """Something with a deadline; notes when it was called."""

    def __init__(self) -> None:
        self.deadline, self.tick = 0.0, 0
        self.cancelled = False
        self.called: list[float] = []


class TurnedWheel:
    """A wheel and the time it was turned to."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now
        self.wheel: Wheel[Thing] = Wheel(now, self._on_due)

    def _on_due(self, things: Sequence[Thing]) -> None:
        for thing in things:
            if not thing.cancelled:
                thing.called.append(self.now)

    def to(self, now: float) -> None:
        """Turn to a time in steps of a quarter second."""
        while self.now < now:
            self.now = min(self.now + QUARTER, now)
            turn(self.wheel, self.now)


def turn(wheel: Wheel[Thing], now: float) -> int:
    """Turn a wheel as far as it goes and return how many steps it took."""
    steps = 1
    while wheel.advance(now):
        steps += 1
    return steps


@pytest.mark.parametrize("deadline", [100.0, 100.1, 100.25, 100.26, 101.0, 107.9, 175.0, 99.0, 0.0])
def test_a_thing_is_called_once_after_its_deadline(deadline: float) -> None:
    """It is called when the deadline has passed, at most a quarter second late; one in the past at once."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, deadline)
    assert thing.called == []
    turned.to(200.0)
    (called,) = thing.called
    assert deadline <= called <= max(deadline, 100.0) + QUARTER


def test_a_moved_deadline_is_called_late_and_once() -> None:
    """Moving a deadline away leaves only the later one."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 101.0)
    turned.to(100.5)
    turned.wheel.schedule(thing, 105.0)
    turned.to(120.0)
    assert thing.called == [105.25]


def test_a_deadline_moved_nearer_is_called_early_and_once() -> None:
    """The entry that the later deadline left behind is skipped."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 110.0)
    turned.wheel.schedule(thing, 101.0)
    turned.to(120.0)
    assert thing.called == [101.25]


def test_a_thing_that_was_called_can_be_scheduled_again() -> None:
    """An entry left behind by an earlier deadline does not call it a second time."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 110.0)
    turned.wheel.schedule(thing, 101.0)
    turned.to(102.0)
    turned.wheel.schedule(thing, 109.9)
    turned.to(120.0)
    assert thing.called == [101.25, 110.0]


def test_back_and_forth_is_called_once_at_the_last_deadline() -> None:
    """Only the deadline that was set last counts."""
    turned, thing = TurnedWheel(), Thing()
    for deadline in (110.0, 101.0, 108.0, 103.0, 106.0):
        turned.wheel.schedule(thing, deadline)
    turned.to(120.0)
    assert thing.called == [106.25]


def test_a_cancelled_thing_says_so_itself() -> None:
    """The wheel calls it all the same; its own state makes that harmless."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 101.0)
    thing.cancelled = True
    turned.to(110.0)
    assert thing.called == []


def test_a_late_turn_calls_everything_that_is_due() -> None:
    """A loop that was held up for seconds misses nothing, and calls nothing too early."""
    turned, things = TurnedWheel(), [Thing() for _ in range(3)]
    for thing, deadline in zip(things, (101.0, 103.0, 150.0), strict=True):
        turned.wheel.schedule(thing, deadline)
    turned.now = 120.0
    turn(turned.wheel, 120.0)
    assert [thing.called for thing in things] == [[120.0], [120.0], []]


def test_a_thing_may_schedule_itself_when_it_is_called() -> None:
    """A heartbeat comes back every second, also when a turn is late."""
    called: list[float] = []

    def on_due(things: Sequence[Thing]) -> None:
        for thing in things:
            called.append(thing.deadline)
            wheel.schedule(thing, thing.deadline + 1.0)

    wheel: Wheel[Thing] = Wheel(100.0, on_due)
    wheel.schedule(Thing(), 101.0)
    turn(wheel, 102.0)
    turn(wheel, 110.0)
    assert called == [101.0, 102.0, 103.0, 104.0, 105.0, 106.0, 107.0, 108.0, 109.0]


def test_a_clock_that_stands_still_calls_nothing() -> None:
    """The same time twice, or an earlier one, turns nothing."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 100.0)
    turn(turned.wheel, 100.0)
    turn(turned.wheel, 99.0)
    assert thing.called == []


def test_the_same_deadline_again_costs_nothing() -> None:
    """A client that sends its request byte by byte does not fill the wheel with entries."""
    turned, thing = TurnedWheel(), Thing()
    for _ in range(1000):
        turned.wheel.schedule(thing, 110.1)
    assert sum(map(len, turned.wheel._slots.values())) == 1


def test_many_things_are_called_a_few_at_a_time() -> None:
    """All subscribers of a channel are due together; between two steps others have their turn."""
    called: list[int] = []
    wheel: Wheel[Thing] = Wheel(100.0, lambda things: called.append(len(things)))
    for _ in range(2 * THINGS_PER_TURN + 1):
        wheel.schedule(Thing(), 101.0)
    turn(wheel, 101.5)
    assert called == [THINGS_PER_TURN, THINGS_PER_TURN, 1]


def test_what_is_scheduled_between_two_steps_is_called_once() -> None:
    """A thing whose turn has not come yet may get another deadline meanwhile."""
    turned, things = TurnedWheel(), [Thing() for _ in range(THINGS_PER_TURN + 1)]
    for thing in things:
        turned.wheel.schedule(thing, 101.0)
    turned.now = 102.0
    assert turned.wheel.advance(102.0)
    (left,) = [thing for thing in things if not thing.called]
    turned.wheel.schedule(left, 105.0)
    turned.to(110.0)
    assert left.called == [105.25]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("schedule"), st.integers(0, 4), st.integers(0, 80)),
        st.tuples(st.just("cancel"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("turn"), st.just(0), st.integers(0, 40)),
    ),
    max_size=60,
)


@given(STEPS)
def test_the_wheel_does_what_a_plain_list_does(steps: list[tuple[str, int, int]]) -> None:
    """Whatever is scheduled and turned, the same are called as by a plain list, at most a quarter second late.

    Times are in tenths of a second, so that they fall on ticks and beside them.
    """
    turned = TurnedWheel()
    things = [Thing() for _ in range(5)]
    due: dict[Thing, float] = {}
    for verb, which, tenths in steps:
        thing = things[which]
        if verb == "schedule":
            due[thing] = turned.now + tenths / 10
            turned.wheel.schedule(thing, due[thing])
            thing.cancelled = False
        elif verb == "cancel":
            thing.cancelled = True
            due.pop(thing, None)
        else:
            turned.now += tenths / 10
            turn(turned.wheel, turned.now)
            for called in [thing for thing in things if thing.called]:
                assert due.pop(called) <= turned.now
                assert called.called == [turned.now]
                called.called.clear()
            assert all(deadline > turned.now - QUARTER for deadline in due.values())


# The ticks that turn the wheels.


async def test_each_part_is_called_while_it_has_more_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that needs three steps gets them, and the loop turns in between."""
    monkeypatch.setattr("edge.engine.wheel.TICK_PERIOD", 0)
    called: list[str] = []
    left = iter([True, True, False, False])

    def part() -> bool:
        called.append("part")
        asyncio.get_running_loop().call_soon(called.append, "others")
        return next(left)

    await ticked([part], lambda: len(called) >= 8)
    assert called[:5] == ["part", "others", "part", "others", "part"]


async def test_a_bug_stops_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that fails is called again the next time, and the parts after it are called all the same."""
    monkeypatch.setattr("edge.engine.wheel.TICK_PERIOD", 0)
    called: list[str] = []

    def broken() -> bool:
        called.append("broken")
        raise RuntimeError("a bug")

    def sound() -> bool:
        called.append("sound")
        return False

    await ticked([broken, sound], lambda: len(called) >= 4)
    assert called[:4] == ["broken", "sound", "broken", "sound"]


async def ticked(parts: list[Callable[[], bool]], done: Callable[[], bool]) -> None:
    """Run the ticks until it is done."""
    ticking = asyncio.create_task(run_ticks(parts))
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110  # a look at a plain list: there is no event to wait for
            await asyncio.sleep(0)
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking


def test_a_deadline_can_be_now() -> None:
    """It is kept at once, before the next tick."""
    turned, thing = TurnedWheel(), Thing()
    turned.wheel.schedule(thing, 200.0)
    turned.wheel.expire(thing)
    assert thing.called == [100.0]
