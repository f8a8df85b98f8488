import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from common.errors import BadRequestError, UnavailableError
from common.message import Message
from common.names import RedisNames
from common.position import Position
from common.rpc.replies import ReplyInbox
from common.scripts.publishing import Outgoing, Publishing
from common.scripts.results import Published
from publisher.redis_publisher import MAX_PIECE, MAX_PIECE_BYTES, MAX_REQUESTS, Outcome, RedisPublisher
from publisher.request import PublishRequest

REQUEST = PublishRequest("room", b"hi")
SLACK = 1.0  # seconds that a loaded machine may add


class FakePublishing:
    """Doubles what publishes: answers once the test sets `go`, and keeps what it was given."""

    def __init__(self) -> None:
        self.pieces: list[list[Outgoing]] = []
        self.failing: set[bytes] = set()
        self.go = asyncio.Event()

    @property
    def messages(self) -> list[Message]:
        """All messages, in order."""
        return [one.message for piece in self.pieces for one in piece]

    async def publish(self, messages: Sequence[Outgoing], deadline: float) -> list[Published | Exception]:
        """Stand in for the publish script."""
        self.pieces.append(list(messages))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self.go.wait()
        return [
            Published(Position(1, 7), 2)
            if self.go.is_set() and one.message.payload not in self.failing
            else RedisConnectionError("no")
            for one in messages
        ]


@pytest.fixture
def fake() -> FakePublishing:
    """Return a double that waits."""
    return FakePublishing()


@pytest.fixture
def redis_publisher(fake: FakePublishing) -> RedisPublisher:
    """Return one that publishes to a double."""
    return RedisPublisher(cast(Publishing, fake), ReplyInbox(RedisNames("t:"), "me"))


async def test_so_many_requests_at_once_and_no_more(redis_publisher: RedisPublisher, fake: FakePublishing) -> None:
    """One more is turned away at once; afterwards there is room again."""
    tasks = [asyncio.create_task(redis_publisher.publish([REQUEST])) for _ in range(MAX_REQUESTS)]
    await asyncio.wait(tasks, timeout=0)
    (refused,) = await redis_publisher.publish([REQUEST])
    assert isinstance(refused, UnavailableError)
    fake.go.set()
    results = await asyncio.gather(*tasks)
    assert all(isinstance(result, Outcome) for (result,) in results)
    assert isinstance((await redis_publisher.publish([REQUEST]))[0], Outcome)


async def test_after_a_piece_with_a_failure_the_rest_is_not_tried(
    redis_publisher: RedisPublisher, fake: FakePublishing
) -> None:
    """In that piece each message has its own result; errors that were there before stay as they are."""
    fake.go.set()
    fake.failing = {b"fails"}
    wrong = BadRequestError("id: wrong")
    first = [REQUEST._replace(payload=b"fails"), wrong, *[REQUEST] * (MAX_PIECE - 1)]
    results = await redis_publisher.publish([*first, REQUEST, wrong])
    assert [type(result) for result in results] == [
        UnavailableError,
        BadRequestError,
        *[Outcome] * (MAX_PIECE - 1),
        UnavailableError,
        BadRequestError,
    ]
    assert [len(piece) for piece in fake.pieces] == [MAX_PIECE]


async def test_a_redis_that_does_not_answer_costs_one_deadline(
    redis_publisher: RedisPublisher, fake: FakePublishing
) -> None:
    """For a whole array, however long it is."""
    began = monotonic()
    results = await redis_publisher.publish([REQUEST] * 1000)
    assert {type(result) for result in results} == {UnavailableError}
    assert monotonic() - began < 1.0 + SLACK
    assert len(fake.pieces) == 1


@pytest.mark.parametrize(
    ("sizes", "pieces"),
    [
        ([1] * 250, [100, 100, 50]),
        ([1], [1]),
        ([MAX_PIECE_BYTES + 1, 1], [1, 1]),
        ([MAX_PIECE_BYTES // 2] * 5, [2, 2, 1]),
    ],
)
async def test_a_piece_has_a_size(
    redis_publisher: RedisPublisher, fake: FakePublishing, sizes: list[int], pieces: list[int]
) -> None:
    """An array of large messages is no burden to others, and each piece has its own deadline."""
    fake.go.set()
    await redis_publisher.publish([REQUEST._replace(payload=b"x" * size) for size in sizes])
    assert [len(piece) for piece in fake.pieces] == pieces


async def test_a_piece_is_of_one_kind(redis_publisher: RedisPublisher, fake: FakePublishing) -> None:
    """A Redis without memory takes ephemeral messages and no others; what comes after a refusal is not tried."""
    fake.go.set()
    fake.failing = {b"fails"}
    live = REQUEST._replace(ephemeral=True)
    results = await redis_publisher.publish([live, live, REQUEST, REQUEST._replace(payload=b"fails"), live])
    assert [len(piece) for piece in fake.pieces] == [2, 2]
    assert [type(result) for result in results] == [Outcome, Outcome, Outcome, UnavailableError, UnavailableError]


@pytest.mark.parametrize(
    ("outcome", "connected"),
    [
        (Outcome(None, 2, 5), True),
        (Outcome(None, 2, 0), False),
        (Outcome(None, 2, None), True),
        (Outcome(None, 0, None), False),
    ],
)
def test_what_counts_as_connected(outcome: Outcome, connected: bool) -> None:
    """Subscribers decide; where they are unknown, edges do."""
    assert outcome.connected is connected


@pytest.mark.parametrize("now", [1_795_540_228.5, 0.0, 1_795_540_228.5 + 3600])
async def test_a_ttl_is_counted_from_the_publishers_clock(
    redis_publisher: RedisPublisher, fake: FakePublishing, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """Whatever that says: a publisher an hour ahead makes a message live an hour longer, and nothing else."""
    monkeypatch.setattr("publisher.redis_publisher.time", lambda: now)
    fake.go.set()
    await redis_publisher.publish([REQUEST._replace(ttl=1.5), REQUEST])
    assert [message.expires for message in fake.messages] == [int((now + 1.5) * 1000), 0]
