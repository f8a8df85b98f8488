"""Tokens while only one of two edges knows of them: what is held there is guarded, whichever edge is asked."""

import json
import time

import jwt
import pytest

from tests.cluster.clients import Answer, StreamClient, exchange, get
from tests.cluster.processes import Service
from tests.rollout.conftest import MixedCluster

pytestmark = pytest.mark.system  # with its cluster it takes many seconds

BEFORE = "14b00ee7"  # the commit before tokens
SECRET = "a secret of thirty-two bytes or more"
SETTINGS = {"COMET_TOKEN_KEY": SECRET}


def token(*channels: str) -> str:
    """Return a token as an application makes it."""
    return jwt.encode({"sub": "bob", "exp": time.time() + 60, "channels": channels}, SECRET, "HS256")


def post(edge: Service, session: str, *operations: object, bearer: str = "") -> Answer:
    """Change a session's channels, with a token or without."""
    body = json.dumps(operations)
    header = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    head = f"POST /sub/{session} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{header}\r\n"
    return exchange(edge.port, (head + body).encode(), "POST")[0]


def sub(name: str) -> dict[str, str]:
    """Return an operation."""
    return {"op": "sub", "id": name}


def test_only_the_newer_edge_asks_for_tokens(mixed: MixedCluster) -> None:
    """Until it is upgraded, the older one lets everybody in, as before."""
    assert get(mixed.a.port, "/poll", id="room", timeout="0").status == 401
    assert get(mixed.a.port, "/poll", id="room", timeout="0", token=token("room")).status == 200
    assert get(mixed.b.port, "/poll", id="room", timeout="0", token=token("room")).status == 200


def test_the_older_edge_opens_nothing_of_what_the_newer_one_holds(mixed: MixedCluster) -> None:
    """It forwards a change without any token: the one of the connection decides."""
    with StreamClient(mixed.a.port, "room", token=token("room", "cart")) as held:
        session = held.welcomes[0]["session"]
        answer = post(mixed.b, session, sub("private-bob"), sub("cart"), bearer=token("*"))
        assert (answer.status, answer.json["channels"]) == (200, ["room", "cart"])
        items = {item["id"]: item for item in (held.next_object(), held.next_object())}
        assert (items["private-bob"]["code"], items["cart"]["type"]) == (403, "welcome")


def test_the_newer_edge_changes_what_the_older_one_holds(mixed: MixedCluster) -> None:
    """A token that it forwards is not looked at there."""
    with StreamClient(mixed.b.port, "room") as held:
        session = held.welcomes[0]["session"]
        answer = post(mixed.a, session, sub("cart"), bearer=token("room", "cart"))
        assert (answer.status, answer.json["channels"]) == (200, ["room", "cart"])
        assert held.next_object()["type"] == "welcome"
