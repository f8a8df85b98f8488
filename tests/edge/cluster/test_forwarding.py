"""A session that another edge may hold: which edge is asked, and what becomes of its replies."""

from typing import Any

import pytest

from common.errors import RequestError
from common.rpc.client import Replies
from common.rpc.messages import Reply
from tests.edge.change_requests import OWN, held, post, sub
from tests.edge.edge_without_redis import EdgeWithoutRedis


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
