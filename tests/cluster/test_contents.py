"""Contents arrive as they were sent, from a publisher process to each kind of subscriber; a broken one costs itself."""

import json
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.cluster.clients import HOST, Answer, Connection, PollClient, SseClient, StreamClient, exchange, poll
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until

pytestmark = pytest.mark.system

CONTENT = (  # numbers that neither 64 bits nor a double hold, and spellings that a reader would change
    '{"wei":1000000000000000000001,"x":[18446744073709551616,19.999999999999999999,12345678901234567890123,'
    '1e400,-0.0,1E5,1.10,5e-324],"same":"\\u00e9\\/"}'
)
PATIENCE = 8.0
HALF = "holds half of a character (a lone surrogate such as \\ud83d)"


def publish(cluster: Cluster, body: str, path: str = "/pub") -> Answer:
    """Send a body of JSON as it is."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return exchange(cluster.publisher.port, f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode(), "POST")[0]


WAYS: dict[str, Callable[[Cluster, str], Answer]] = {
    "/pub": lambda cluster, channel: publish(cluster, f'{{"id":"{channel}","content":{CONTENT}}}'),
    "/pub of an array": lambda cluster, channel: publish(cluster, f'[{{"id":"{channel}","content": {CONTENT} }}]'),
    "/pub with ids": lambda cluster, channel: publish(cluster, f'{{"ids":["{channel}"],"content":{CONTENT}}}'),
    "/broadcast": lambda cluster, _: publish(cluster, f'{{"content":{CONTENT}}}', "/broadcast"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_content_arrives_as_it_was_sent(cluster: Cluster, channel: str, way: str) -> None:
    """By stream, SSE, WebSocket and long-poll, on either edge; repeated, for a poll does not tell when it waits."""
    with (
        StreamClient(cluster.a.port, channel) as stream,
        SseClient(cluster.b.port, channel) as sse,
        connect(f"ws://{HOST}:{cluster.a.port}/ws?id={channel}", proxy=None, open_timeout=PATIENCE) as websocket,
        PollClient(cluster.b.port, channel) as waiting,
    ):
        websocket.recv(timeout=PATIENCE)
        until(lambda: WAYS[way](cluster, channel).status == 200 and waiting.answered)
        got = [stream.receive(), sse.receive(), waiting.receive()]
        got.append(json.loads(websocket.recv(timeout=PATIENCE))["content"])
    assert got == [CONTENT] * 4
    if way != "/broadcast":
        assert poll(cluster.a.port, channel, since="0")["messages"][0]["content"] == CONTENT


def test_a_text_cut_inside_of_a_character_costs_only_its_entry(cluster: Cluster, channel: str) -> None:
    """JSON.stringify writes such a text as a lone surrogate: the others arrive, and an error stands in its place."""
    cut = [
        '{"id":"CHANNEL","content":"cut \\ud83d"}',
        '{"id":"CHANNEL","content":{"text":["cut \\ud83d"]}}',
        '{"id":"CHANNEL\\ud83d","content":"x"}',
        '{"id":"CHANNEL","content":"x","event":"\\udc00"}',
    ]
    entries = ['{"id":"CHANNEL","content":"good one"}', *cut, '{"id":"CHANNEL","content":"good \\ud83d\\ude00"}']
    with StreamClient(cluster.a.port, channel) as stream, SseClient(cluster.b.port, channel) as sse:
        answer = publish(cluster, f"[{','.join(entries)}]".replace("CHANNEL", channel))
        assert answer.status == 200
        first, *errors, last = json.loads(answer.text)
        assert (first["edges"], last["edges"]) == (2, 2)
        assert [(each["type"], each["code"], HALF in each["content"]) for each in errors] == [("error", 400, True)] * 4
        for client in (stream, sse):
            assert [client.receive(), client.receive()] == ["good one", "good \N{GRINNING FACE}"]
    assert len(poll(cluster.b.port, channel, since="0")["messages"]) == 2


@pytest.mark.parametrize("path", ["/pub", "/broadcast"])
def test_a_single_text_cut_inside_of_a_character_is_refused(cluster: Cluster, channel: str, path: str) -> None:
    """With the name of the field."""
    name = f'"id":"{channel}",' if path == "/pub" else ""
    answer = publish(cluster, f'{{{name}"content":"cut \\ud83d"}}', path)
    assert (answer.status, answer.json["code"]) == (400, 400)
    assert answer.json["content"].startswith(f"content: {HALF}")


def test_an_operation_cut_inside_of_a_character_costs_only_itself(cluster: Cluster, channel: str) -> None:
    """On a WebSocket, and in the body of a POST for it."""
    operations = f'[{{"op":"sub","id":"{channel}-\\ud83d","ref":1}},{{"op":"ping","ref":2}}]'
    with connect(f"ws://{HOST}:{cluster.a.port}/ws?id={channel}", proxy=None, open_timeout=PATIENCE) as websocket:
        session = json.loads(websocket.recv(timeout=PATIENCE))["session"]
        websocket.send(operations)
        error, pong = (json.loads(websocket.recv(timeout=PATIENCE)) for _ in range(2))
        assert (error["type"], error["code"], error["ref"]) == ("error", 400, 1)
        assert (pong["type"], pong["ref"]) == ("pong", 2)
        with Connection(cluster.b.port) as other:
            answer = other.post(f"/sub/{session}", json.loads(operations))
    assert (answer.status, "half of a character" in answer.text) == (400, True)
