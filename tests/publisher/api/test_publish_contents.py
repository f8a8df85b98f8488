"""Contents on their way from a body to Redis, over a real socket."""

import json

from redis.asyncio import Redis

from common.names import RedisNames
from tests.publisher.conftest import Client

JSON = {"Content-Type": "application/json"}


async def stored(redis: Redis, prefix: str, channel: str) -> list[bytes]:
    """Return the contents in the log of a channel."""
    entries = await redis.xrange(RedisNames(prefix).log(channel))
    return [fields[b"d"] for _, fields in entries]


async def test_a_text_cut_inside_of_a_character_does_not_stop_its_batch(
    client: Client, redis: Redis, prefix: str
) -> None:
    """JSON.stringify writes such a text as a lone surrogate: the others are published, and an error stands for it."""
    body = (
        rb'[{"id":"room","content":"good one"},{"id":"room","content":"cut \ud83d"},{"id":"room","content":"good two"}]'
    )
    answer, text = await client.request("POST", "/pub", data=body, headers=JSON)
    assert answer.status == 200
    first, broken, last = json.loads(text)
    assert (first["edges"], last["edges"]) == (0, 0)
    assert (broken["type"], broken["code"]) == ("error", 400)
    assert broken["content"].startswith("content: ")
    assert await stored(redis, prefix, "room") == [b"good one", b"good two"]


async def test_a_single_text_cut_inside_of_a_character_is_refused(client: Client, redis: Redis, prefix: str) -> None:
    """With 400 and the field's name."""
    answer, text = await client.request("POST", "/pub", data=rb'{"id":"room","content":"cut \ud83d"}', headers=JSON)
    assert answer.status == 400
    assert json.loads(text)["content"].startswith("content: ")
    assert await stored(redis, prefix, "room") == []


async def test_large_numbers_arrive_as_they_were_sent(client: Client, redis: Redis, prefix: str) -> None:
    """Beyond 64 bits, beyond what a double holds, and beyond its exponents."""
    content = b'{"wei":1000000000000000000001,"x":[18446744073709551616,19.999999999999999999,1e400]}'
    answer, text = await client.request("POST", "/pub", data=b'{"id":"room","content":%b}' % content, headers=JSON)
    assert answer.status == 200, text
    assert await stored(redis, prefix, "room") == [content]
