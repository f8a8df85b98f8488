"""The grants of held seats, and when they end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.access.patterns import Patterns
from common.errors import BadRequestError
from edge.counters import Counters
from edge.engine.grants import Grants
from edge.parked import NEVER
from edge.state import Seat
from edge.tokens.grant import Grant, TokenError
from tests.edge.edge_without_redis import FakeClock
from tests.edge.http_client import get
from tests.edge.tokens_in_memory import TokensInMemory

ENDS = (NEVER, 1000.0, 1000.9, 1001.0, 1003.5, 1010.0)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), st.integers(0, 5), st.sampled_from((None, *ENDS))),
        st.tuples(st.just("leave"), st.integers(0, 5), st.none()),
        st.tuples(st.just("wait"), st.sampled_from((0.3, 1.0, 4.0)), st.none()),
        st.tuples(st.just("take"), st.integers(1, 3), st.none()),
    ),
    max_size=40,
)


def until(expires: float) -> Grant:
    """Return what a token grants until some time."""
    return Grant("bob", Patterns(["*"]), expires)


def grants_at(clock: FakeClock, tokens: TokensInMemory | None = None) -> Grants:
    """Return what is tested."""
    return Grants((tokens or TokensInMemory()).guard(Counters(), clock))


@given(steps=STEPS)
def test_each_seat_is_due_once_in_the_second_after_its_token_ends(
    steps: list[tuple[str, float, float | None]],
) -> None:
    """Whatever is held, replaced and let go of before: nobody else is due, and nothing is left of those that leave."""
    clock = FakeClock()
    grants, seats = grants_at(clock), [Seat(fd) for fd in range(6)]
    ends: dict[Seat, float] = {}  # of those that are held and were not due
    for step, number, expires in steps:
        if step == "wait":
            clock.now += number
        elif step == "take":
            taken = grants.take_expired(int(number))
            due = {seat for seat, end in ends.items() if end < int(clock.now)}
            assert set(taken) <= due
            assert len(taken) == len(set(taken)) == min(int(number), len(due))
            for seat in taken:
                del ends[seat]
        else:
            seat = seats[int(number)]
            ends.pop(seat, None)
            if step == "leave":
                grants.leave(seat)
            else:
                grants.hold(seat, None if expires is None else until(expires))
                ends |= {} if expires is None else {seat: expires}
    for seat in seats:
        grants.leave(seat)
    assert len(grants) == 0
    assert grants._ending == {}


def test_many_that_end_at_once_are_given_a_few_at_a_time() -> None:
    """So that whoever ends them keeps nobody else waiting."""
    clock = FakeClock()
    grants, seats = grants_at(clock), {Seat(fd) for fd in range(150)}
    for seat in seats:
        grants.hold(seat, until(1000.5))
    assert grants.take_expired(64) == []
    clock.now = 1001.0
    taken = [grants.take_expired(64) for _ in range(4)]
    assert [len(some) for some in taken] == [64, 64, 22, 0]
    assert {seat for some in taken for seat in some} == seats


def test_a_clock_that_jumps_ends_what_is_over() -> None:
    """Years pass in no time, as when a machine learns the time after its start."""
    clock = FakeClock()
    grants, seat = grants_at(clock), Seat(7)
    grants.hold(seat, until(1_000_000.0))
    clock.now = 2_000_000_000.0
    assert grants.take_expired(64) == [seat]


def test_a_subscriber_may_have_more_by_the_grant_that_it_was_admitted_with() -> None:
    """Until a fresh token takes its place."""
    tokens = TokensInMemory("news")
    tokens.make("narrow", ["room"])
    wide = tokens.make("wide", ["room", "cart"])
    tokens.make("of-eve", user="eve")
    grants, seat = grants_at(FakeClock(), tokens), Seat(7)
    grants.admit(seat, get("/sub", "token=narrow"), "ws", ("room",))
    grants.check(seat, "room")
    grants.check(seat, "news")
    with pytest.raises(TokenError):
        grants.check(seat, "cart")
    grants.renew(seat, "wide", ("room", "news"))
    grants.check(seat, "cart")
    for token, channels in (("narrow", ("room", "cart")), ("of-eve", ("room",)), ("bad", ())):
        with pytest.raises(TokenError):
            grants.renew(seat, token, channels)
    assert grants.of(seat) is wide


def test_a_request_without_a_token_drops_what_the_one_before_was_granted() -> None:
    """Requests of one connection may be of several users, behind a proxy."""
    tokens = TokensInMemory("news")
    tokens.make("good")
    grants, seat = grants_at(FakeClock(), tokens), Seat(7)
    grants.admit(seat, get("/sub", "token=good"), "poll", ("room",))
    grants.admit(seat, get("/sub"), "poll", ("news",))
    assert grants.of(seat) is None
    with pytest.raises(TokenError):
        grants.check(seat, "room")


def test_without_a_guard_everything_is_allowed_and_nothing_is_kept() -> None:
    """No key is set; a fresh token is told so."""
    grants, seat = Grants(), Seat(7)
    grants.admit(seat, get("/sub", "token=anything"), "stream", ("room",))
    grants.check(seat, "private-bob")
    assert (len(grants), grants.take_expired(64)) == (0, [])
    with pytest.raises(BadRequestError, match="COMET_TOKEN_KEY is not set"):
        grants.renew(seat, "x", ())
