"""Where channels need a token, those of a cursor whose names are in Redis need one, too."""

import pytest

from common.position import NameList
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.http_client import head
from tests.edge.tokens_in_memory import TokensInMemory

NAMES = NameList([f"{number:03d}" + "x" * 87 for number in range(128)])
READABLE = "&".join(f"{name}=9-9" for name in NAMES.names)
CURSOR = NAMES.cursor({"000" + "x" * 87: "0-100", "001" + "x" * 87: "1-5"})


@pytest.mark.parametrize(
    ("token", "status"), [("for-both", 200), ("for-one", 403), ("for-others", 403), ("", 401), ("bad", 401)]
)
async def test_the_channels_of_a_stored_cursor_are_checked(token: str, status: int) -> None:
    """They are known when their names are read; those of the URL do not count."""
    tokens = TokensInMemory()
    tokens.make("for-both", ["00*"])
    tokens.make("for-one", ["000*"])
    tokens.make("for-others", ["other"])
    async with edge_without_redis(tokens=tokens) as edge:
        edge.names_in_redis.values[edge.names.name_list(NAMES.digest)] = NAMES.text
        client = await edge.connect()
        query = f"&token={token}" if token else ""
        answer = await client.ask(head(f"/poll?id=other&timeout=0&since={CURSOR}{query}"))
        assert answer.status == status


@pytest.mark.parametrize(("token", "status"), [("narrow", 403), ("", 401), ("bad", 401)])
async def test_names_are_not_stored_for_who_may_not_hear_them(token: str, status: int) -> None:
    """Redis is asked for nothing."""
    tokens = TokensInMemory()
    tokens.make("narrow", ["000*"])
    async with edge_without_redis(tokens=tokens) as edge:
        client = await edge.connect()
        query = f"?token={token}" if token else ""
        answer = await client.ask(head(f"/sse{query}", f"Last-Event-ID: {READABLE}"))
        assert (answer.status, edge.names_in_redis.commands) == (status, [])


async def test_keys_that_are_gone_when_the_names_are_read_turn_a_client_away() -> None:
    """It may try again."""
    tokens = TokensInMemory()
    tokens.make("good")
    async with edge_without_redis(tokens=tokens) as edge:
        edge.names_in_redis.values[edge.names.name_list(NAMES.digest)] = NAMES.text
        client = await edge.connect()
        await client.send(head(f"/poll?id=other&timeout=0&since={CURSOR}&token=good"))
        await edge.until(lambda: edge.names_in_redis.commands)
        tokens.has_keys = False
        assert (await client.answer()).status == 503
