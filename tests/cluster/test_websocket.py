"""WebSockets of the websockets client library against real processes: every operation, two edges, any bytes."""

import json
import random
import socket
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.cluster.clients import HOST, Connection, SseClient, StreamClient
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.edge.websocket_client import HANDSHAKE, mutated

Json = dict[str, Any]
PATIENCE = 8.0
STRINGS = 10_000
CLOSE = 0x88  # the first byte of a close frame
OWN = "a-session-of-my-own"


def speak(edge: Service, *channels: str, **options: Any) -> ClientConnection:
    """Return a WebSocket to some channels."""
    query = "&".join(f"id={name}" for name in channels)
    return connect(f"ws://{HOST}:{edge.port}/ws?{query}", proxy=None, open_timeout=PATIENCE, **options)


def received(client: ClientConnection) -> Json:
    """Return the next object."""
    found: Json = json.loads(client.recv(timeout=PATIENCE))
    return found


def said(client: ClientConnection, *operations: Json) -> list[Json]:
    """Send operations in one message and return as many objects."""
    client.send(json.dumps(operations))
    return [received(client) for _ in operations]


def post(edge: Service, session: str, *operations: Json) -> tuple[int, Json]:
    """Change a session's channels."""
    with Connection(edge.port) as connection:
        answer = connection.post(f"/sub/{session}", list(operations))
        return answer.status, answer.json


def test_a_message_reaches_a_websocket_of_every_edge(cluster: Cluster, channel: str) -> None:
    """Published once, by HTTP or by a plain PUBLISH, with one position everywhere."""
    with speak(cluster.a, channel) as a, speak(cluster.b, channel) as b:
        welcomes = [received(a), received(b)]
        assert [one["type"] for one in welcomes] == ["welcome", "welcome"]
        assert len({one["session"].split(".")[0] for one in welcomes}) == 2
        cluster.publish(channel, "hi")
        cluster.valkey.publish(channel, "plain")
        got = [[received(one), received(one)] for one in (a, b)]
        assert got[0] == got[1]
        assert [item["content"] for item in got[0]] == ["hi", "plain"]


def test_every_operation_is_acknowledged(cluster: Cluster, channel: str) -> None:
    """A WebSocket that begins with nothing subscribes, catches up, pings and gives up, all with refs."""
    other = channel + "-other"
    with speak(cluster.a) as client:
        assert received(client).keys() == {"type", "content", "session"}
        (welcome,) = said(client, {"op": "sub", "id": channel, "ref": 1})
        assert (welcome["type"], welcome["id"], welcome["ref"]) == ("welcome", channel, 1)
        cluster.publish(channel, "first")
        first = received(client)
        assert said(client, {"op": "unsub", "id": channel}, {"op": "ping", "ref": "p"}) == [
            {"type": "unsub", "id": channel},
            {"type": "pong", "ref": "p"},
        ]
        cluster.publish(channel, "missed")
        (welcome,) = said(client, {"op": "sub", "id": channel, "since": first["seq"]})
        assert welcome["seq"] == first["seq"]
        assert received(client)["content"] == "missed"
        error, welcome = said(client, {"op": "sub", "id": "a b"}, {"op": "sub", "id": other, "history": 3})
        assert (error["type"], error["code"], error["op"]) == ("error", 400, "sub")
        assert welcome["id"] == other
        cluster.publish(other, "second")
        assert received(client)["content"] == "second"


def test_a_position_is_good_on_the_other_edge(cluster: Cluster, channel: str) -> None:
    """A WebSocket that comes back elsewhere with the last position of each channel misses nothing."""
    other = channel + "-other"
    with speak(cluster.a, channel, other) as client:
        at = {one["id"]: one["seq"] for one in (received(client), received(client))}
        cluster.publish(channel, "1")
        at[channel] = received(client)["seq"]
    cluster.publish(other, "2")
    cluster.publish(channel, "3")
    with speak(cluster.b) as client:
        received(client)
        client.send(json.dumps([{"op": "sub", "id": name, "since": at[name]} for name in (channel, other)]))
        objects = [received(client) for _ in range(4)]
        assert sorted(one["content"] for one in objects if one["type"] == "data") == ["2", "3"]


def test_a_fragmented_message_and_pings_are_understood(cluster: Cluster, channel: str) -> None:
    """The library cuts a message in three and pings in between."""
    with speak(cluster.a) as client:
        received(client)
        text = json.dumps({"op": "sub", "id": channel})
        client.send([text[:5], text[5:9], text[9:]])
        assert received(client)["id"] == channel
        assert client.ping(b"are you there").wait(PATIENCE)


@pytest.mark.parametrize(
    ("message", "code"), [(b"binary", 1003), ("x" * 16385, 1009)], ids=["a binary message", "a large message"]
)
def test_what_is_not_spoken_closes_the_connection(
    cluster: Cluster, channel: str, message: str | bytes, code: int
) -> None:
    """The library reads the code and the reason of a proper close."""
    with speak(cluster.a, channel) as client:
        received(client)
        client.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code


def test_a_close_is_answered(cluster: Cluster, channel: str) -> None:
    """The closing handshake ends with the code the client chose, and its channel is left."""
    with speak(cluster.a, channel) as client:
        received(client)
        client.close(3456, "bye")
        assert client.protocol.close_rcvd is not None
        assert client.protocol.close_rcvd.code == 3456
    until(lambda: cluster.publish(channel, "anybody?").status == 404)


def test_a_bad_handshake_is_refused(cluster: Cluster) -> None:
    """The library sees a status, not a broken connection."""
    with pytest.raises(InvalidStatus) as caught:
        speak(cluster.a, "a%20b")
    assert caught.value.response.status_code == 400


def test_a_websockets_channels_are_changed_from_the_other_edge(cluster: Cluster, channel: str) -> None:
    """The session names its edge; whichever is asked, the change is done there."""
    with speak(cluster.a, channel) as client:
        session = received(client)["session"]
        other = channel + "-other"
        assert post(cluster.b, session, {"op": "sub", "id": other}) == (
            200,
            {"type": "ack", "channels": [channel, other]},
        )
        assert received(client)["id"] == other
        assert post(cluster.a, session, {"op": "unsub", "id": channel}) == (200, {"type": "ack", "channels": [other]})
        assert received(client) == {"type": "unsub", "id": channel}
    until(lambda: post(cluster.b, session, {"op": "ping"})[0] == 404)


@pytest.mark.parametrize("edge", ["a", "b"])
def test_a_held_polls_channels_are_changed_from_any_edge(cluster: Cluster, channel: str, edge: str) -> None:
    """A session that its client made is looked for everywhere; the answer's position leads on for both channels."""
    other, own = channel + "-other", f"{OWN}-{channel}"
    with Connection(cluster.a.port) as poller:
        poller.ask("/poll", [("id", channel), ("session", own)])
        until(lambda: post(cluster.edge(edge), own, {"op": "sub", "id": other})[0] == 200)
        answer = poller.answer().json
        assert (answer["session"], answer["messages"][0]["id"]) == (own, other)
        cluster.publish(other, "next")
        poller.ask("/poll", [("id", channel), ("since", answer["seq"])])
        assert poller.answer().json["messages"][0]["content"] == "next"


def test_an_event_source_comes_back_to_its_changed_channels(cluster: Cluster, channel: str) -> None:
    """Its last id names them, and is good on the other edge."""
    other = channel + "-other"
    with SseClient(cluster.a.port, channel) as client:
        session = json.loads(client.welcome["data"])["session"]
        assert post(cluster.b, session, {"op": "sub", "id": other})[0] == 200
        last = client.next_event()["id"]
    cluster.publish(other, "missed")
    with SseClient(cluster.b.port, channel, since=last) as client:
        events = [client.next_event() for _ in range(2)]
        assert json.loads(events[-1]["data"])["content"] == "missed"


def test_a_session_of_an_edge_that_is_no_more(cluster: Cluster) -> None:
    """404, at once: no edge received the question."""
    assert post(cluster.a, "ffffffff." + "A" * 24, {"op": "ping"})[0] == 404


def test_a_drain_closes_with_1012(tmp_path: Path) -> None:
    """Every WebSocket is told to connect again; one that does finds the other edge, and has missed nothing."""
    with running(Cluster(tmp_path, COMET_DRAIN_SECONDS="1")) as cluster, ExitStack() as open_ones:
        clients = [open_ones.enter_context(speak(cluster.a, "room")) for _ in range(20)]
        seq, *_ = [received(client)["seq"] for client in clients]
        cluster.a.stop()
        for client in clients:
            with pytest.raises(ConnectionClosed) as caught:
                client.recv(timeout=PATIENCE)
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1012
        cluster.publish("room", "while no client was there")
        with speak(cluster.b) as client:
            received(client)
            client.send(json.dumps({"op": "sub", "id": "room", "since": seq}))
            assert [received(client)["type"], received(client)["content"]] == ["welcome", "while no client was there"]


def outcome(edge: Service, data: bytes, *, upgraded: bool) -> int:
    """Send bytes and the end; return the status or close code of the answer, 0 for none."""
    with socket.create_connection((HOST, edge.port), PATIENCE) as raw:
        head = "\r\n".join(["GET /ws?id=room HTTP/1.1", "Host: x", *HANDSHAKE]) + "\r\n\r\n"
        raw.sendall(head.encode() + data if upgraded else data)
        raw.shutdown(socket.SHUT_WR)
        try:
            got = b"".join(iter(lambda: raw.recv(65536), b""))
        except ConnectionResetError:
            return 0
    if not upgraded:
        return int(got[9:12]) if got else 0
    frames = got.partition(b"\r\n\r\n")[2]
    while frames and frames[0] != CLOSE:
        size = frames[1] if frames[1] < 126 else int.from_bytes(frames[2:4]) + 2
        frames = frames[size + 2 :]
    return int.from_bytes(frames[2:4])


@pytest.mark.timeout(300)
def test_ten_thousand_strings_harm_no_other_client(cluster: Cluster, channel: str) -> None:
    """Random bytes and broken frames get a 4xx or a close code, never a traceback; a bystander is served on."""
    chance, outcomes = random.Random(7), Counter[int]()
    with StreamClient(cluster.a.port, channel) as bystander:
        for number in range(STRINGS):
            data = mutated(chance) if number % 4 else chance.randbytes(chance.randint(1, 80))
            outcomes[outcome(cluster.a, data, upgraded=number % 8 != 0)] += 1
        cluster.publish(channel, "still here")
        assert bystander.receive() == "still here"
    echoed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}  # what a client may close with
    assert outcomes.keys() <= {0, 400, 505} | echoed, outcomes
    assert min(outcomes[code] for code in (400, 1000, 1002, 1007)) > 50, outcomes
    log = cluster.a.whole_log
    assert "Traceback" not in log
    assert '"level": "error"' not in log
