"""Refused tokens are counted and logged."""

import pytest
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


@pytest.mark.parametrize("reason", [TokenReason.MISSING, TokenReason.CHANNEL, TokenReason.CLAIM])
def test_what_the_client_wrote_is_not_logged(reason: TokenReason) -> None:
    """A token may have slipped into the name of a channel, as by `?id=room?token=…`."""
    with capture_logs() as lines:
        Refusals(Counters(), FakeClock()).add(TokenError(reason, "id: 'room?token=eyJ' needs a token"))
    assert [line["reason"] for line in lines] == [reason.value]
    assert "eyJ" not in str(lines)


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
