"""Refused tokens are counted and logged."""

from structlog.testing import capture_logs

from edge.counters import Counters
from edge.tokens.grant import TokenError, TokenReason
from edge.tokens.guard import Refusals
from tests.edge.edge_without_redis import FakeClock

EXPIRED = TokenError(TokenReason.EXPIRED, "token: it has expired")


def test_each_reason_is_counted() -> None:
    """Each has its series from the start, so that a graph shows a zero."""
    counters = Counters()
    assert list(counters.token_refused_total) == list(TokenReason)
    refusals = Refusals(counters, FakeClock())
    for reason in TokenReason:
        refusals.add(TokenError(reason, "no"))
    refusals.add(EXPIRED)
    assert counters.token_refused_total == dict.fromkeys(TokenReason, 1) | {"expired": 2}


def test_one_refusal_a_second_is_logged() -> None:
    """Its line says how many were left out before it."""
    clock = FakeClock()
    with capture_logs() as lines:
        refusals = Refusals(Counters(), clock)
        for seconds in (0.0, 0.5, 0.4, 0.2, 1.0):
            clock.now += seconds
            refusals.add(EXPIRED)
    assert [line["left_out"] for line in lines] == [0, 2, 0]
    assert lines[0] == {
        "event": "a subscriber's token was refused",
        "log_level": "warning",
        "reason": "expired",
        "why": "token: it has expired",
        "left_out": 0,
    }
