"""What the log says of an outage: each thing once, and no cause that was not established."""

import pytest
from hiredis import ReplyError
from structlog.testing import capture_logs

from common.errors import WrongServerError
from common.redis.answers import WrongAnswerError
from common.redis.outage import DOWN, UNUSABLE, UP, Outage

READONLY, ELSEWHERE = WrongServerError("READONLY"), WrongServerError("ELSEWHERE")
REFUSED, TIME_OUT = ConnectionRefusedError("refused"), TimeoutError("no answer")
NOAUTH, NOPERM = ReplyError("NOAUTH"), ReplyError("NOPERM")


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([READONLY, ELSEWHERE] * 5, [(UNUSABLE, "READONLY"), (UNUSABLE, "ELSEWHERE")]),
        ([None, REFUSED, TIME_OUT, REFUSED], [(DOWN, "connection closed")]),
        ([NOAUTH, NOPERM, WrongAnswerError("not redis"), NOAUTH], [(UNUSABLE, "NOAUTH")]),
        ([REFUSED, NOAUTH, READONLY] * 2, [(DOWN, "refused"), (UNUSABLE, "NOAUTH"), (UNUSABLE, "READONLY")]),
        ([KeyError()], [(UNUSABLE, "KeyError")]),
    ],
    ids=["proved", "unreachable", "answers", "all", "nameless"],
)
def test_each_reason_is_one_line(errors: list[Exception | None], told: list[tuple[str, str]]) -> None:
    """What is proved, whenever it is; of the rest, that Redis is down, and that it is of no use."""
    with capture_logs() as lines:
        outage = Outage("here")
        for error in errors:
            outage.on_error(error)
            outage.on_open()
    assert [(line["event"], line["error"]) for line in lines] == told
    assert {line["redis"] for line in lines} == {"here"}


def test_its_end_is_told_when_it_lasts_and_the_next_one_anew() -> None:
    """The first connection is told of at once; `error` keeps what was found last."""
    with capture_logs() as lines:
        outage = Outage("here")
        outage.on_open()
        outage.on_steady()
        for _ in range(2):
            outage.on_error(READONLY)
            outage.on_open()
            outage.on_steady()
    assert [line["event"] for line in lines] == [UP, UNUSABLE, UP, UNUSABLE, UP]
    assert outage.error == "READONLY"
