"""Requests that change the channels of a session, on another connection than its own."""

import json
import re

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import Answer, HttpClient, head

OWN = "a-session-of-my-own"


def posted(session: str, body: object, *headers: str) -> bytes:
    """Return a request that changes a session's channels."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(f"/sub/{session}", f"Content-Length: {len(data)}", *headers, method="POST") + data


async def post(edge: EdgeWithoutRedis, session: str, body: object) -> Answer:
    """Change a session's channels on a connection of its own."""
    client = await edge.connect()
    answer = await client.ask(posted(session, body))
    client.close()
    await edge.turns()
    return answer


def sub(name: str, **more: object) -> dict[str, object]:
    """Return an operation."""
    return {"op": "sub", "id": name, **more}


def unsub(name: str) -> dict[str, object]:
    """Return an operation."""
    return {"op": "unsub", "id": name}


async def held(edge: EdgeWithoutRedis, target: str, transport: str) -> tuple[HttpClient, str]:
    """Return a client that holds this request, and the session in its welcome."""
    client, before = await edge.connect(), edge.counters.opened_total[transport]
    await client.send(head(target))
    await edge.until(lambda: edge.counters.opened_total[transport] > before)
    found = re.search(rb'"session":"([^"]+)"', await client.until(b"\n\r\n"))
    while found is None:
        found = re.search(rb'"session":"([^"]+)"', await client.until(b"\n\r\n"))
    return client, found[1].decode()
