"""What a server may answer, and what becomes of one that answers anything else."""

import ssl
from collections.abc import Sequence
from typing import Any

import pytest
from hiredis import Reader, ReplyError
from redis import RedisError
from redis.exceptions import AuthenticationError, BusyLoadingError, NoPermissionError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.redis.answers import (
    MAX_BULK_BYTES,
    MAX_ELEMENTS,
    Claims,
    WrongAnswerError,
    check_claims,
    is_unreachable,
    reading,
    shown,
    wrong_answer,
)
from common.redis.client import connect
from tests.common.redis.conftest import Fake

NIL, OK, ZERO, EMPTY, TEXT = b"$-1\r\n", b"+OK\r\n", b":0\r\n", b"*0\r\n", b"$2\r\nhi\r\n"
MAP, ODD_TIME, HUGE = b"%1\r\n+a\r\n:1\r\n", b"*2\r\n+now\r\n+then\r\n", b"*1000000000\r\n"


@pytest.mark.parametrize(
    "error",
    [ConnectionResetError(), TimeoutError(), RedisConnectionError("Error 111"), RedisTimeoutError("Timeout reading")],
    ids=repr,
)
def test_a_server_that_is_not_reached_has_said_nothing(error: Exception) -> None:
    """So it may be called down."""
    assert is_unreachable(error)


@pytest.mark.parametrize(
    "error",
    [
        *(AuthenticationError("WRONGPASS"), BusyLoadingError("LOADING"), ReadOnlyError("READONLY")),
        *(NoPermissionError("NOPERM"), ReplyError("NOAUTH"), wrong_answer("PUBLISH", b"OK", "int")),
        *(ssl.SSLCertVerificationError("self-signed"), RuntimeError("a bug"), None),
    ],
    ids=repr,
)
def test_a_server_that_answered_is_not_called_down(error: Exception | None) -> None:
    """Whatever it answered, and where the fault is not known."""
    assert not is_unreachable(error)


@pytest.mark.parametrize(
    ("command", "answers"),
    [
        ("publish room hi", (NIL, OK, EMPTY, TEXT, MAP)),
        ("get key", (ZERO, EMPTY, MAP)),
        ("set key value", (ZERO, EMPTY, MAP)),
        ("smembers key", (NIL, OK, ZERO, TEXT, MAP)),
        ("time", (NIL, OK, ZERO, EMPTY, TEXT, MAP, ODD_TIME, HUGE)),
        ("xrevrange key", (NIL, OK, ZERO, TEXT, MAP, b"*1\r\n:1\r\n")),
        ("evalsha 0123456789012345678901234567890123456789 0", (NIL, OK, ZERO, TEXT, MAP)),
    ],
)
async def test_an_answer_of_another_kind_is_an_error_of_redis(
    fake: Fake, command: str, answers: tuple[bytes, ...]
) -> None:
    """Callers handle it as a Redis that cannot be reached; the next command has a new connection."""
    given = [OK]
    _, where = await fake(lambda words: OK if words[0] == b"CLIENT" else given[0])
    name, *arguments = command.split()
    async with connect(f"redis://{where.host}:{where.port}") as client:
        for given[0] in answers:
            with pytest.raises(RedisError):
                await getattr(client, name)(*arguments)


async def test_the_sentence_has_both_sides(fake: Fake) -> None:
    """What was expected, and what came, in a bounded length."""
    _, where = await fake(lambda words: OK if words[0] == b"CLIENT" else b"$100000\r\n" + b"x" * 100_000 + b"\r\n")
    async with connect(f"redis://{where.host}:{where.port}") as client:
        with pytest.raises(WrongAnswerError) as caught:
            await client.publish("room", "hi")
    assert str(caught.value).startswith("this is not the redis we need: PUBLISH was answered b'xxxx")
    assert str(caught.value).endswith("', not int")
    assert len(str(caught.value)) < 200


async def test_a_pipeline_is_no_way_around(fake: Fake) -> None:
    """Its answers are looked at like any others."""
    _, where = await fake(lambda words: OK)
    async with connect(f"redis://{where.host}:{where.port}") as client:
        pipeline = client.pipeline(transaction=False)
        pipeline.publish("room", "hi")
        with pytest.raises(WrongAnswerError):
            await pipeline.execute()


def test_what_fails_while_an_answer_is_read_is_the_servers_fault() -> None:
    """Any way in which Python says that one thing is not another; anything else is a bug of ours."""
    for bad in (None, 5, [], [1], [1, 2], {}, [b"x"]):
        with pytest.raises(WrongAnswerError), reading("it", bad):
            take_apart(bad)
    with pytest.raises(RuntimeError), reading("it", b""):
        raise RuntimeError


def take_apart(answer: Any) -> None:
    """Read an answer as two texts, whatever it is."""
    one, other = answer
    assert one.decode() == other


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (None, "None"),
        (5, "5"),
        (b"x" * 1000, repr(b"x" * 80)),
        ([b"a", [1], None, 4], "[b'a', [1], None, …]"),
        ({1: 2}, "dict"),
    ],
)
def test_an_answer_is_shown_in_a_bounded_length(answer: object, text: str) -> None:
    """However large it is."""
    assert shown(answer) == text
    assert text in str(wrong_answer("it", answer, "that"))


@pytest.mark.parametrize(
    "data",
    [
        b"*1000000000\r\n",
        b"*1000001\r\n",
        b"$134217729\r\n",
        b"%9999999\r\n",
        b"+OK\r\n:1\r\n*1000000000\r\n",
        b"|1000000000\r\nxxxx",  # found by fuzzing: attributes, a kind of map
        b"=1000000000\r\n",
        b"*2\r\n$2\r\nhi\r\n*99999999\r\n",
        b"*1\r\n*1\r\n*1\r\n$9999999999\r\n",
    ],
)
def test_a_claim_that_no_redis_makes_is_refused(data: bytes) -> None:
    """Before any room is made for it, wherever it stands at the beginning."""
    with pytest.raises(WrongAnswerError):
        check_claims(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"*",
        b"*1000000",
        b"*%d\r\n" % MAX_ELEMENTS,
        b"$%d\r\n" % MAX_BULK_BYTES,
        b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$12\r\n*1000000000\r\n\r\n",
        b"$13\r\n\r\n*1000000000\r\n",
        b"+*1000000000\r\n",
        b"x" * 600 + b"\r\n*1000000000\r\n",
    ],
)
def test_what_only_looks_like_a_claim_passes(data: bytes) -> None:
    """A message may have any content, and what is large may be legal."""
    check_claims(data)


@pytest.mark.parametrize(
    "reads", [(b"*", b"1000000000\r\n"), (b"+OK\r\n*1", b"00000", b"0000", b"\r\n"), (b":1\r\n$1000000000\r", b"\n")]
)
def test_a_claim_that_comes_in_pieces_is_refused(reads: tuple[bytes, ...]) -> None:
    """Found by fuzzing: room for a thousand million elements was made, and the process stood still for seconds."""
    with pytest.raises(WrongAnswerError):
        read_all(reads)


def test_a_payload_that_comes_in_pieces_claims_nothing() -> None:
    """Its bytes may be anything, wherever they are cut, also behind a reply that was short."""
    replies = (
        b"+OK\r\n" + (b"$13\r\n*1000000000\r\n" + b"\r\n") * 99 + b"$1300\r\n" + b"*1000000000\r\n" * 100 + b"\r\n"
    )
    for size in range(1, 40):
        read_all([replies[at : at + size] for at in range(0, len(replies), size)])


def read_all(reads: Sequence[bytes]) -> None:
    """Read what comes in these reads, to its end."""
    claims, reader = Claims(), Reader()
    for read in reads:
        claims.check(read, goes_on=reader.has_data())
        reader.feed(read)
        while reader.gets() is not False:
            pass
    assert not reader.has_data()
