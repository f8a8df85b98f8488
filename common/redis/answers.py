"""What a server may answer; one that answers anything else is not the Redis that the work needs.

redis-py reads an answer as what it should be, and fails in the middle of it with whatever Python says then. Here such
a server fails as one that cannot be reached does: with an error of redis-py that says what was expected and what came.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import NoneType
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

MAX_BULK_BYTES = 134_217_728  # of one reply: more than a request that carries the largest message, however escaped
MAX_ELEMENTS = 1_000_000  # of one array
MAX_SHOWN = 80  # bytes of a text in a sentence
MAX_PARTS = 3  # of an array in a sentence
CLAIM_BYTES = 512  # of a read: an answer of another server stands at its beginning
FAULTS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)  # of reading one thing as another
KINDS: dict[str, tuple[type, ...]] = {
    "CLUSTER INFO": (bytes,),
    "DEL": (int,),
    "EVALSHA": (list,),
    "FUNCTION LIST": (list,),
    "FUNCTION LOAD": (bytes,),
    "EXPIRE": (int,),
    "GET": (bytes, NoneType),
    "GETEX": (bytes, NoneType),
    "PUBLISH": (int,),
    "ROLE": (list,),
    "SADD": (int,),
    "SCRIPT LOAD": (bytes,),
    "SET": (bytes, NoneType),
    "SMEMBERS": (list,),
    "SREM": (int,),
    "TIME": (list,),
    "XREAD": (list, NoneType),
    "XREVRANGE": (list,),
}
BULKS, AGGREGATES = b"$=", b"*%~>|"  # a text; an array, a map, a set, a push, attributes
_CLAIM = re.compile(rb"[%b][0-9]{6}" % (BULKS + AGGREGATES))

Read = Callable[..., Any]


class WrongAnswerError(RedisConnectionError):
    """A server answered what Redis never does; the connection is of no use any more."""


def is_unreachable(error: BaseException | None) -> bool:
    """Say whether an error shows that Redis could not be reached; otherwise a server answered, or no error is known."""
    if isinstance(error, (WrongAnswerError, AuthenticationError, BusyLoadingError, ssl.SSLCertVerificationError)):
        return False
    return isinstance(error, (OSError, RedisConnectionError, RedisTimeoutError))


def wrong_answer(what: str, answer: object, expected: str) -> WrongAnswerError:
    """Return the error for an answer of the wrong kind; the sentence has a bounded part of it."""
    return WrongAnswerError(f"this is not the redis we need: {what} was answered {shown(answer)}, not {expected}")


def shown(answer: object) -> str:
    """Return an answer as Python writes it, or the beginning of one that is long."""
    if isinstance(answer, bytes | str):
        return repr(answer[:MAX_SHOWN])
    if isinstance(answer, list):
        more = ", …" if len(answer) > MAX_PARTS else ""
        return f"[{', '.join(map(shown, answer[:MAX_PARTS]))}{more}]"
    return f"{answer!r:.80}" if isinstance(answer, int | float | None) else type(answer).__name__


def expect_kinds(client: Redis) -> None:
    """Make a client refuse answers of the wrong kind to the commands that are used here."""
    for command, kinds in KINDS.items():
        client.set_response_callback(command, _expecting(command, kinds, client.response_callbacks.get(command)))


@contextmanager
def reading(what: str, answer: object) -> Iterator[None]:
    """Read an answer of the right kind in the block: what fails in it is the fault of the server."""
    try:
        yield
    except FAULTS as error:
        raise unreadable(what, answer, error) from None


def unreadable(what: str, answer: object, error: Exception) -> WrongAnswerError:
    """Return the error for an answer that could not be read because of another one, which is among `FAULTS`."""
    return wrong_answer(what, answer, f"as expected ({error!s:.100})")


def check_claims(data: bytes) -> None:
    """Raise `WrongAnswerError` if replies claim to be larger than any of Redis; `data` begins with a reply.

    A parser makes room for what is claimed before it comes.
    """
    if _CLAIM.search(data, 0, CLAIM_BYTES) is not None:
        _check_headers(data)


class Claims:
    """What the replies of one connection claim, also where a claim comes in several reads."""

    __slots__ = ("_begun", "_last")

    def __init__(self) -> None:
        self._begun = b""  # what came of a reply that a short read has begun
        self._last = b""  # byte; a parser that has read the first one of a reply has no data left, and needs the rest

    def check(self, data: bytes, *, goes_on: bool) -> None:
        """Raise `WrongAnswerError` as `check_claims` does; a read goes on with a reply, or begins with one."""
        begun = self._begun if goes_on or self._last not in b"\n" else None
        self.pass_over(data)
        if begun != b"":
            data = (begun or b"") + data
            check_claims(data)
            self._begun = data if len(data) < CLAIM_BYTES else b""

    def pass_over(self, data: bytes) -> None:
        """Believe a read."""
        self._begun, self._last = b"", data[-1:]


def _check_headers(data: bytes) -> None:
    at, end = 0, data.find(b"\r\n")
    while 0 <= at < end <= CLAIM_BYTES:
        kind, number = data[at : at + 1], data[at + 1 : end]
        size = int(number) if number.isdigit() and len(number) <= 20 and kind in BULKS + AGGREGATES else 0
        if size > (MAX_BULK_BYTES if kind in BULKS else MAX_ELEMENTS):
            raise wrong_answer("it", data[at:end], "with what a message can have")
        at = end + 2 + (size + 2 if kind in BULKS and number.isdigit() else 0)
        end = data.find(b"\r\n", at)


def _expecting(command: str, kinds: tuple[type, ...], read: Read | None) -> Read:
    expected = " or ".join(kind.__name__ for kind in kinds)

    def checked(answer: Any, **options: Any) -> Any:
        if not isinstance(answer, kinds):
            raise wrong_answer(command, answer, expected)
        if read is None:
            return answer
        with reading(command, answer):
            return read(answer, **options)

    return checked


class Parser(DefaultParser):  # type: ignore[misc,valid-type]
    """redis-py's parser, which makes no room for what no Redis sends."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._claims = Claims()

    async def read_from_socket(self) -> bool:
        """Read once more from the server."""
        data = await self._stream.read(self._read_size)
        if not data:
            raise RedisConnectionError("Connection closed by server.")
        self._claims.check(data, goes_on=self._reader.has_data())
        self._reader.feed(data)
        return True
