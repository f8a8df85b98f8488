"""A session that another edge may hold: which edge is asked, and what becomes of its replies."""

import asyncio
from typing import Any

import pytest

from common.errors import RequestError
from common.rpc.client import Replies
from common.rpc.messages import Reply
from tests.edge.change_requests import OWN, held, post, posted, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.tokens_in_memory import TokensInMemory


def refusing(code: int) -> Reply:
    """Return the reply of an edge that cannot do it."""
    return Reply("ffffffff", {}, RequestError("no", code))


NOT_HERE = refusing(404)
DONE = Reply("ffffffff", {"channels": ["a"]})


@pytest.mark.parametrize(
    ("session", "asked"), [("ffffffff.AAAA", "ffffffff"), (OWN, None)], ids=["an edge's", "a client's own"]
)
@pytest.mark.parametrize(
    ("replies", "status"),
    [
        (Replies([], 0), 404),
        (Replies([NOT_HERE], 1), 404),
        (Replies([NOT_HERE, DONE], 2), 200),
        (Replies([refusing(503), DONE], 3), 200),
        (Replies([NOT_HERE, refusing(503)], 2), 503),
        (Replies([refusing(501)], 1), 503),
        (Replies([NOT_HERE], 2), 503),
        (Replies([NOT_HERE, refusing(401)], 2), 401),
        (Replies([refusing(403)], 1), 403),
    ],
)
async def test_a_session_of_another_edge_is_asked_for_there(
    edge: EdgeWithoutRedis, session: str, asked: str | None, replies: Replies, status: int
) -> None:
    """The edge in its name, or all of them; what they reply is the answer."""
    questions: list[Any] = []

    async def ask(edge_id: str | None, op: str, fields: Any, patience: float) -> Replies:
        questions.append((edge_id, op, fields))
        return replies

    edge.forwarder._ask = ask
    answer = await post(edge, session, sub("b"))
    assert answer.status == status
    assert questions == [(asked, "change", {"session": session, "ops": [sub("b")]})]
    if status == 503:
        assert "retry-after" in answer.headers


async def test_a_change_asked_by_another_edge_is_done(edge: EdgeWithoutRedis) -> None:
    """The other half of it."""
    _, session = await held(edge, "/sub?id=a", "stream")
    assert await edge.forwarder.on_change({"session": session, "ops": [sub("b")]}) == {"channels": ["a", "b"]}
    for fields in ({}, {"session": 7, "ops": []}, {"session": session, "ops": "x"}, {"session": session, "ops": [7]}):
        with pytest.raises(RequestError) as caught:
            await edge.forwarder.on_change(fields)
        assert caught.value.status == 400


async def test_only_a_few_sessions_of_polls_are_asked_for_at_a_time() -> None:
    """Any more get 429 and a time to wait; held connections, and what is held here, are served all the same."""
    async with edge_without_redis(session_asks=2) as edge:
        go = asyncio.Event()
        asked: list[str | None] = []

        async def ask(edge_id: str | None, op: str, fields: Any, patience: float) -> Replies:
            asked.append(edge_id)
            if edge_id is None:
                await go.wait()
            return Replies([NOT_HERE if edge_id is None else DONE], 1)

        edge.forwarder._ask = ask
        waiting = [await edge.connect() for _ in range(2)]
        for client in waiting:
            await client.send(posted(OWN, sub("b")))
        await edge.until(lambda: asked == [None, None])
        refused = await post(edge, OWN, sub("b"))
        assert (refused.status, refused.json["code"]) == (429, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert (edge.counters.limited_total["session_asks"], edge.counters.refused_total[429]) == (1, 1)
        assert (await post(edge, "ffffffff.AAAA", sub("b"))).status == 200
        await edge.held(f"/poll?id=a&session={OWN}", transport="poll")
        assert (await post(edge, OWN, sub("b"))).status == 200
        go.set()
        assert [(await client.answer()).status for client in waiting] == [404, 404]
        assert (await post(edge, OWN, sub("b"))).status == 404
        assert asked == [None, None, "ffffffff", None]


async def test_a_token_goes_to_the_edge_that_holds_the_session() -> None:
    """It is checked there; an operation that brings one goes as it is, as all do."""
    questions: list[Any] = []

    async def ask(edge_id: str | None, op: str, fields: Any, patience: float) -> Replies:
        questions.append(fields)
        return Replies([DONE], 1)

    async with edge_without_redis(tokens=TokensInMemory()) as edge:
        edge.forwarder._ask = ask
        client = await edge.connect()
        fresh = {"op": "token", "token": "y"}
        answer = await client.ask(posted("ffffffff.AAAA", [fresh], "Authorization: Bearer x"))
        assert (answer.status, answer.json["channels"]) == (200, ["a"])
        assert questions == [{"session": "ffffffff.AAAA", "ops": [fresh], "token": "x"}]


async def test_a_forwarded_token_is_checked_where_the_session_is_held() -> None:
    """So is a channel: an edge of an older version forwards it without any token, and the session's decides."""
    tokens = TokensInMemory()
    tokens.make("good", ["a", "b"])
    tokens.make("wide")
    async with edge_without_redis(tokens=tokens) as edge:
        _, session = await held(edge, "/sub?id=a&token=good", "stream")
        change = {"session": session, "ops": [sub("b"), sub("private-bob")]}
        assert await edge.forwarder.on_change(change) == {"channels": ["a", "b"]}
        for token, status in (("bad", 401), (7, 400)):
            with pytest.raises(RequestError) as caught:
                await edge.forwarder.on_change(change | {"token": token})
            assert caught.value.status == status
        assert await edge.forwarder.on_change(change | {"token": "wide"}) == {"channels": ["a", "b", "private-bob"]}


async def test_a_poll_without_a_token_is_given_none() -> None:
    """Its session is its client's word: who knows another's could poll with it, and would hear what that one may."""
    tokens = TokensInMemory("news")
    tokens.make("good")
    async with edge_without_redis(tokens=tokens) as edge:
        await edge.held(f"/poll?id=news&session={OWN}", transport="poll")
        answer = await post(edge, OWN + "?token=good", sub("private-bob"))
        assert (answer.status, "poll again with the token" in answer.json["content"]) == (403, True)


async def test_without_a_key_a_forwarded_token_is_not_looked_at(edge: EdgeWithoutRedis) -> None:
    """The edge that forwards it may have one already."""
    _, session = await held(edge, "/sub?id=a", "stream")
    assert await edge.forwarder.on_change({"session": session, "ops": [], "token": "x"}) == {"channels": ["a"]}
