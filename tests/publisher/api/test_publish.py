import asyncio
import json
import time
from io import BytesIO
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from common.names import RedisNames
from tests.publisher.conftest import Client, Edges, eventually, running

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


async def test_without_subscribers_it_is_a_404_and_the_message_is_kept(
    client: Client, redis: Redis, prefix: str
) -> None:
    """The short form's answer for an id without subscribers on any edge; the history still has the message."""
    assert await client.get("/pub?id=1&content=hi") == (404, "id: 1 not connected\n")
    entries: Any = await redis.xrange(RedisNames(prefix).log("1"))
    assert [fields[b"d"] for _, fields in entries] == [b"hi"]


async def test_ok_when_a_subscriber_is_connected(client: Client, edge: Edges) -> None:
    """The short form's `ok`, by query and by form, and the message arrives framed with its position."""
    async with edge("1", subscribers=1) as it:
        answer, text = await client.request("GET", "/pub?id=1&content=a+b")
        assert (answer.status, answer.content_type, text) == (200, "text/plain", "ok\n")
        answer, text = await client.request("POST", "/pub", data={"cname": "1", "content": "ü", "event": "news"})
        assert (answer.status, text) == (200, "ok\n")
        answer, text = await client.request("POST", "/pub?id=1&content=")
        assert (answer.status, text) == (200, "ok\n")
    assert [(message.payload, message.offset, message.event) for message in it.messages] == [
        (b"a b", 1, ""),
        ("ü".encode(), 2, "news"),
        (b"", 3, ""),
    ]


async def test_an_edge_without_subscribers_is_not_a_connection(client: Client, edge: Edges) -> None:
    """An edge that lingers on a channel answers 0, and then no subscriber is connected."""
    async with edge("1", subscribers=0):
        assert await client.get("/pub?id=1&content=hi") == (404, "id: 1 not connected\n")


async def test_several_ids_are_ok_if_one_is_connected(client: Client, edge: Edges) -> None:
    """One connected id is enough for `ok`; without any, the answer names them all."""
    async with edge("1", subscribers=1):
        assert await client.get("/pub?id=1&id=2&content=hi") == (200, "ok\n")
        assert await client.get("/pub?id=2&id=3&content=hi") == (404, "id: 2, 3 not connected\n")


async def test_a_receipt_sums_over_all_edges(client: Client, edge: Edges) -> None:
    """`subscribers` is the sum of what two edges say; without `receipt` it is not there and no edge is asked."""
    async with edge("room", subscribers=40), edge("room", subscribers=2) as second:
        status, answer = await client.post({"id": "room", "content": "hi", "receipt": True})
        assert (status, answer["edges"], answer["subscribers"]) == (200, 2, 42)
        assert answer["seq"].startswith("1-")
        _, answer = await client.post({"id": "room", "content": "hi"})
        assert sorted(answer) == ["edges", "seq"]

        async def both_arrived() -> bool:
            return len(second.messages) == 2

        await eventually(both_arrived)
        assert [bool(message.inbox) for message in second.messages] == [True, False]


async def test_a_slow_edge_is_not_waited_for(client: Client, edge: Edges) -> None:
    """After 250 ms the answer goes out with what is known, for a whole array at the same time."""
    async with edge("room", subscribers=3), edge("room", subscribers=None):
        began = time.monotonic()
        _, answers = await client.post([{"id": "room", "content": "hi", "receipt": True}] * 5)
        assert 0.24 <= time.monotonic() - began < 1
        assert [(answer["edges"], answer["subscribers"]) for answer in answers] == [(2, 3)] * 5


async def test_a_retry_with_a_key_gets_the_first_answer(client: Client, edge: Edges) -> None:
    """Nothing is sent again, and all that the first was told is told again, also when other edges listen by now."""
    async with edge("room", subscribers=3) as it:
        for receipt in ({}, {"receipt": True}):
            message = {"id": "room", "content": "hi", "key": f"order-{len(receipt)}", **receipt}
            first = await client.post(message)
            assert first[1]["edges"] == 1
            assert first[1].get("subscribers") == (3 if receipt else None)
            async with edge("room", subscribers=2):
                assert await client.post(message) == first
                assert await client.post({**message, "content": "something else"}) == first
    assert len(it.messages) == 2
    assert await client.post(message) == first


async def test_a_retry_may_ask_for_a_receipt_that_the_first_did_not(client: Client, edge: Edges) -> None:
    """It cannot be known any more, and that is what the answer says."""
    async with edge("room", subscribers=1):
        _, first = await client.post({"id": "room", "content": "hi", "key": "order-1"})
        _, again = await client.post({"id": "room", "content": "hi", "key": "order-1", "receipt": True})
    assert again == {**first, "subscribers": None}


async def test_a_retry_of_the_form_gets_the_first_verdict(client: Client, edge: Edges) -> None:
    """`not connected` stays so although a subscriber has come since, and `ok` although none is left."""
    for name, subscribers, verdict in (("a", 1, (200, "ok\n")), ("b", 0, (404, "id: b not connected\n"))):
        target = f"/pub?id={name}&content=hi&key=order-1"
        async with edge(name, subscribers=subscribers):
            assert await client.get(target) == verdict
        async with edge(name, subscribers=1 - subscribers):
            assert await client.get(target) == verdict
    assert await client.get("/pub?id=c&content=hi&key=order-1") == (404, "id: c not connected\n")
    async with edge("c", subscribers=1):
        assert await client.get("/pub?id=c&content=hi&key=order-1") == (404, "id: c not connected\n")


async def test_the_receipt_is_remembered_for_as_long_as_its_key(client: Client, redis: Redis, prefix: str) -> None:
    """It does not make the key live longer, nor come back when it is gone."""
    await client.get("/pub?id=room&content=hi&key=order-1")
    key = RedisNames(prefix).once("room", "order-1")
    value = await redis.get(key)
    assert value is not None
    assert value.split()[1:] == [b"0", b"0"]
    assert 290 < await redis.ttl(key) <= 300


async def test_an_array_is_published_in_order_with_a_result_each(client: Client, edge: Edges) -> None:
    """Messages of one array keep their order on a channel; a bad one is an error in its place."""
    values: list[object] = [{"id": "ab"[number % 2], "content": number} for number in range(40)]
    values[10] = {"id": "a", "content": "x" * 1001}
    values[11] = {"id": "a b", "content": "x"}
    async with edge("a", "b", subscribers=1) as it:
        status, answers = await client.post(values)

        async def all_arrived() -> bool:
            return len(it.messages) == 38

        await eventually(all_arrived)
    assert status == 200
    assert [answer.get("code", 200) for answer in answers] == [200] * 10 + [413, 400] + [200] * 28
    assert [int(message.payload) for message in it.messages] == [*range(10), *range(12, 40)]
    assert [answer["seq"].partition("-")[0] for answer in answers[:4]] == ["1", "1", "2", "2"]


async def test_ids_publish_one_message_to_several_channels(client: Client, edge: Edges) -> None:
    """`ids` is answered like an array."""
    async with edge("a", subscribers=1):
        status, answers = await client.post({"ids": ["a", "b", "c d"], "content": {"n": 1}})
    assert status == 200
    assert [answer.get("edges") for answer in answers] == [1, 0, None]
    assert answers[2]["code"] == 400


async def test_an_ephemeral_message_has_no_seq_and_no_history(client: Client, redis: Redis, prefix: str) -> None:
    """`ephemeral` goes out live only."""
    assert await client.post({"id": "room", "content": "typing", "ephemeral": True}) == (200, {"edges": 0})
    assert await redis.keys(f"*{prefix}*") == []


async def test_an_empty_array_is_answered_with_an_empty_array(client: Client) -> None:
    """Nothing to publish is not an error for a program that counts to zero."""
    assert await client.post([]) == (200, [])


@pytest.mark.parametrize(
    ("target", "options", "status", "text"),
    [
        ("/pub", {}, 400, "id: a channel name is missing; write for example /pub?id=room&content=hi\n"),
        ("/pub?id=1", {}, 400, "content: is missing; it may be empty, but it must be there\n"),
        (
            "/pub?id=1&content=" + "x" * 1001,
            {},
            413,
            "content: 1001 bytes; at most 1000 are allowed (COMET_MAX_MESSAGE_BYTES)\n",
        ),
        ("/pub", {"data": BytesIO(b"x" * 8_400_000), "headers": FORM}, 413, "the body is over 8388608 bytes"),
    ],
)
async def test_the_form_variant_is_told_in_plain_text(
    client: Client, target: str, options: dict[str, object], status: int, text: str
) -> None:
    """Errors of the short form are one sentence of plain text."""
    answer, body = await client.request("POST" if options else "GET", target, **options)
    assert (answer.status, answer.content_type) == (status, "text/plain")
    assert body.startswith(text)
    assert body.endswith("\n")


@pytest.mark.parametrize(
    ("method", "target", "options", "status", "word"),
    [
        ("POST", "/pub", {"data": b"{", "headers": JSON}, 400, "the body is not JSON"),
        ("POST", "/pub", {"json": {"id": "1"}}, 400, "content:"),
        ("POST", "/pub", {"json": {"id": "1", "content": "x" * 1001}}, 413, "content:"),
        ("POST", "/pub", {"data": BytesIO(b"x" * 8_400_000), "headers": JSON}, 413, "the body is over"),
        ("POST", "/pub?id=1", {"json": {"id": "1", "content": "x"}}, 400, "the query string"),
        ("POST", "/pub", {"data": b"x", "headers": {"Content-Type": "text/plain"}}, 415, "content-type:"),
        ("GET", "/nowhere", {}, 404, "/nowhere is not a path"),
        ("DELETE", "/pub", {}, 405, "DELETE is not allowed here; use GET or POST"),
    ],
)
async def test_other_errors_are_one_json_line(
    client: Client, method: str, target: str, options: dict[str, object], status: int, word: str
) -> None:
    """Errors of JSON requests, and of requests that are neither, are the JSON object of the wire."""
    answer, text = await client.request(method, target, **options)
    error = json.loads(text)
    assert (answer.status, error["type"], error["code"]) == (status, "error", status)
    assert error["content"].startswith(word)
    assert text.index("\n") == len(text) - 1
    assert ("Allow" in answer.headers) == (status == 405)


async def test_a_head_request_publishes_nothing(client: Client, redis: Redis, prefix: str) -> None:
    """HEAD must be free of effects, so it is refused."""
    answer, _ = await client.request("HEAD", "/pub?id=1&content=hi")
    assert answer.status == 405
    assert await redis.keys(f"*{prefix}*") == []


async def test_a_client_that_breaks_off_disturbs_no_other(client: Client) -> None:
    """A body that ends early costs only its own connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(b'POST /pub HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"id"')
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await client.get("/pub?id=1&content=hi"))[0] == 404


async def test_many_publishes_at_once_are_all_answered(client: Client, edge: Edges) -> None:
    """More concurrent requests than connections to Redis wait for their turn; none is refused.

    On a machine that is busy with other things a receipt may come after its 250 ms: then the answer is 404.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with edge("room", subscribers=1), aiohttp.ClientSession(connector=connector) as session:

        async def publish() -> int:
            message = {"id": "room", "content": "x"}  # without a receipt, for which edges have but 250 ms
            async with session.post(f"http://127.0.0.1:{client.port}/pub", json=message) as answer:
                return answer.status

        statuses = await asyncio.gather(*[publish() for _ in range(100)])

    assert len(statuses) == 100
    assert set(statuses) <= {200, 404}
    assert 200 in statuses


async def test_the_demo_pages_publish_to_their_channels(client: Client, edge: Edges) -> None:
    """`/demo/pub` publishes one short message to `demo`, or to a channel that begins with `demo:`."""
    for channel in ("demo", "demo:chat", "demo:1"):
        async with edge(channel, subscribers=3):
            message = {"id": channel, "content": "hi", "receipt": True}
            answer, text = await client.request("POST", "/demo/pub", json=message)
            assert (answer.status, json.loads(text)["subscribers"]) == (200, 3)


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"id": "room", "content": "hi"}, 403, "id:"),
        ({"id": "demo", "content": "x" * 1025}, 413, "content:"),
        ({"ids": ["demo"], "content": "hi"}, 400, "one message"),
        ([{"id": "demo", "content": "hi"}], 400, "one message"),
        ({"id": "demo"}, 400, "content:"),
        ({"id": "demo room", "content": "hi"}, 400, "id:"),
    ],
)
async def test_the_demo_pages_publish_nothing_else(
    valkey_url: str, prefix: str, body: object, status: int, named: str
) -> None:
    """Other channels, long messages and batches are refused with a sentence that says why."""
    async with running(redis_url=valkey_url, prefix=prefix, demo=True) as client:
        await eventually(client.ready)
        answer, text = await client.request("POST", "/demo/pub", json=body)
        assert (answer.status, json.loads(text)["code"]) == (status, status)
        assert named in json.loads(text)["content"]


async def test_a_foreign_page_cannot_publish_through_a_form(client: Client) -> None:
    """`/demo/pub` takes JSON only, so that a browser asks first; and it does not answer GET."""
    answer, _ = await client.request("POST", "/demo/pub", data={"id": "demo", "content": "hi"})
    assert answer.status == 415
    assert (await client.get("/demo/pub?id=demo&content=hi"))[0] == 405
