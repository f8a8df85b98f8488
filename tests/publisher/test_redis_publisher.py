import asyncio
from typing import cast

import pytest

from common.errors import BadRequestError, UnavailableError
from common.message import Message
from common.names import RedisNames
from common.position import Position
from common.rpc.replies import ReplyInbox
from common.scripts.calls import Scripts
from common.scripts.results import Published
from publisher.redis_publisher import MAX_COMMANDS, MAX_WAITING, Outcome, RedisPublisher
from publisher.request import PublishRequest

REQUEST = PublishRequest("room", b"hi")


class FakeScripts:
    """Doubles the scripts: answers once the test sets `go`, and counts the calls."""

    def __init__(self) -> None:
        self.called = 0
        self.messages: list[Message] = []
        self.go = asyncio.Event()

    async def publish(self, channel: str, message: Message, *, key: str, live: bool) -> Published:
        """Stand in for the publish script."""
        self.called += 1
        self.messages.append(message)
        await self.go.wait()
        return Published(Position(1, 7), 2)


@pytest.fixture
def scripts() -> FakeScripts:
    """Return scripts that wait."""
    return FakeScripts()


@pytest.fixture
def redis_publisher(scripts: FakeScripts) -> RedisPublisher:
    """Return one whose script is a double."""
    return RedisPublisher(cast(Scripts, scripts), ReplyInbox(RedisNames("t:"), "me"), lambda seconds: None)


async def test_requests_wait_for_their_turn_up_to_a_limit(
    redis_publisher: RedisPublisher, scripts: FakeScripts
) -> None:
    """A few commands run at once, many requests wait, and one more is turned away at once."""
    tasks = [asyncio.create_task(redis_publisher.publish([REQUEST])) for _ in range(MAX_COMMANDS + MAX_WAITING)]
    await asyncio.wait(tasks, timeout=0)
    (refused,) = await redis_publisher.publish([REQUEST])
    assert isinstance(refused, UnavailableError)
    assert scripts.called == MAX_COMMANDS
    scripts.go.set()
    results = await asyncio.gather(*tasks)
    assert all(isinstance(result, Outcome) for (result,) in results)
    assert isinstance((await redis_publisher.publish([REQUEST]))[0], Outcome)


async def test_after_a_failure_the_rest_is_not_tried(redis_publisher: RedisPublisher, scripts: FakeScripts) -> None:
    """A Redis that does not answer costs one deadline for a whole array; other errors stay as they are."""
    wrong = BadRequestError("id: wrong")
    results = await redis_publisher.publish([REQUEST, wrong, REQUEST])
    assert [type(result) for result in results] == [UnavailableError, BadRequestError, UnavailableError]
    assert scripts.called == 1


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
    redis_publisher: RedisPublisher, scripts: FakeScripts, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """Whatever that says: a publisher an hour ahead makes a message live an hour longer, and nothing else."""
    monkeypatch.setattr("publisher.redis_publisher.time", lambda: now)
    scripts.go.set()
    await redis_publisher.publish([REQUEST._replace(ttl=1.5), REQUEST])
    assert [message.expires for message in scripts.messages] == [int((now + 1.5) * 1000), 0]
