import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from common.errors import RequestError, UnavailableError
from common.names import RedisNames
from common.rpc import client as client_module
from common.rpc.client import MAX_PUBLISHES, EdgeClient, Replies
from common.rpc.messages import Reply, decode_request, encode_error, encode_reply, read_address
from common.rpc.replies import ReplyInbox

NAMES = RedisNames("t:")
Publish = Callable[[bytes, bytes], Awaitable[int]]


class FakeEdges:
    """A `publish` that reaches edges, each of which replies at once; an edge of None stays silent."""

    def __init__(self, inbox: ReplyInbox, *replies: bytes | None) -> None:
        self.published: list[tuple[bytes, bytes]] = []
        self._inbox = inbox
        self._replies = replies

    async def publish(self, name: bytes, request: bytes) -> int:
        """Take a request; reply to its inbox."""
        self.published.append((name, request))
        number = read_address(decode_request(request).inbox).number
        for reply in self._replies:
            if reply is not None:
                self._inbox.on_message(b"%d %b" % (number, reply))
        return len(self._replies)


@pytest.fixture
def inbox() -> ReplyInbox:
    """Return an inbox that is reached."""
    inbox = ReplyInbox(NAMES, "me")
    inbox.on_reachable(True)
    return inbox


async def test_all_edges_are_asked_and_their_replies_come_together(inbox: ReplyInbox) -> None:
    """A reply may be an error; both are there as soon as the last one is."""
    edges = FakeEdges(inbox, encode_reply("a", {"n": 1}), encode_error("b", RequestError("no", 404)))
    asked = await EdgeClient(NAMES, inbox, edges.publish).ask(None, "info", {"id": "room"}, 60)
    ((name, request),) = edges.published
    assert name == NAMES.edges()
    assert decode_request(request)._replace(inbox="") == ("info", "", {"id": "room"})
    assert (asked.reached, asked.silent) == (2, 0)
    assert asked.replies[0] == Reply("a", {"n": 1})
    error = asked.replies[1].error
    assert error is not None
    assert (error.status, error.sentence) == (404, "no")


async def test_one_edge_is_asked_on_its_own_channel(inbox: ReplyInbox) -> None:
    """Its id is a part of the channel's name."""
    edges = FakeEdges(inbox, encode_reply("a1", {}))
    assert await EdgeClient(NAMES, inbox, edges.publish).ask("a1", "info") == Replies([Reply("a1", {})], 1)
    assert [name for name, _ in edges.published] == [NAMES.edge("a1")]


async def test_a_silent_edge_is_counted(inbox: ReplyInbox) -> None:
    """The replies that are there in time are returned."""
    edges = FakeEdges(inbox, encode_reply("a", {}), None)
    asked = await EdgeClient(NAMES, inbox, edges.publish).ask(None, "info", seconds=0.01)
    assert ([reply.edge for reply in asked.replies], asked.reached, asked.silent) == (["a"], 2, 1)


async def test_without_edges_there_is_nothing_to_wait_for(inbox: ReplyInbox) -> None:
    """No edge is known at once, whatever the time given."""
    assert await EdgeClient(NAMES, inbox, FakeEdges(inbox).publish).ask(None, "info", seconds=60) == Replies([], 0)


@pytest.mark.parametrize("edge", ["", "a b", "a*", "{a}", "ä", "x" * 65])
async def test_what_cannot_be_an_edge_is_not_asked(inbox: ReplyInbox, edge: str) -> None:
    """A client may have sent any text as an id."""
    edges = FakeEdges(inbox)
    assert await EdgeClient(NAMES, inbox, edges.publish).ask(edge, "info") == Replies([], 0)
    assert edges.published == []


async def test_only_a_few_requests_are_published_at_a_time(inbox: ReplyInbox) -> None:
    """Each takes a connection to Redis, and replies and messages need some, too; the others wait for their turn."""
    go, published = asyncio.Event(), []

    async def publish(name: bytes, request: bytes) -> int:
        published.append(request)
        await go.wait()
        return 0

    edges = EdgeClient(NAMES, inbox, publish)
    async with asyncio.TaskGroup() as asking:
        for _ in range(3 * MAX_PUBLISHES):
            asking.create_task(edges.ask("a1", "change"))
        await asyncio.sleep(0.01)
        assert len(published) == MAX_PUBLISHES
        go.set()
    assert len(published) == 3 * MAX_PUBLISHES


async def fail(name: bytes, request: bytes) -> int:
    """Fail like a client without a connection."""
    raise RedisConnectionError


async def hang(name: bytes, request: bytes) -> int:
    """Never return."""
    await asyncio.Event().wait()
    return 0


@pytest.mark.parametrize("publish", [fail, hang])
async def test_without_redis_a_request_is_unavailable(
    inbox: ReplyInbox, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error or a PUBLISH that does not return is one sentence, and the same request may work later."""
    monkeypatch.setattr(client_module, "PUBLISH_TIMEOUT", 0.01)
    with pytest.raises(UnavailableError, match=r"^redis does not pass the request on to the edges now; try again$"):
        await EdgeClient(NAMES, inbox, publish).ask(None, "info")


async def test_replies_that_cannot_arrive_are_not_waited_for(inbox: ReplyInbox) -> None:
    """The request has gone out, but its replies do not reach this process."""
    inbox.on_reachable(False)
    edges = FakeEdges(inbox, None)
    with pytest.raises(UnavailableError, match=r"^the replies of the edges do not reach this process now; try again$"):
        await EdgeClient(NAMES, inbox, edges.publish).ask(None, "info", seconds=60)
