"""A WebSocket client, frame by frame, for the edge's tests."""

import json
import random
from collections.abc import Generator
from typing import Any

from websockets.frames import Frame, Opcode

from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import HttpClient, head

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3 …
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # … and its answer
HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
Json = dict[str, Any]


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a client's frame."""
    return Frame(opcode, payload, fin).serialize(mask=True)


def text(value: object) -> bytes:
    """Return a message of JSON, or of a string as it is."""
    return frame(Opcode.TEXT, (value if isinstance(value, str) else json.dumps(value)).encode())


def closing(code: int | None, reason: str = "") -> bytes:
    """Return a client's close frame."""
    return frame(Opcode.CLOSE, b"" if code is None else code.to_bytes(2) + reason.encode())


class WebSocketClient:
    """A client whose handshake was answered."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.session = ""  # of the last welcome

    async def send(self, *values: object) -> None:
        """Send messages, all at once."""
        await self.client.send(b"".join(map(text, values)))

    async def next_frame(self) -> Frame:
        """Return the next frame, of any kind."""
        header = await self._take(2)
        length = header[1]
        extended = await self._take({126: 2, 127: 8}.get(length, 0))
        body = await self._take(int.from_bytes(extended) if extended else length)
        return parse(header + extended + body)

    async def next_object(self) -> Json:
        """Return the next object, without its session; pings are passed over."""
        while (got := await self.next_frame()).opcode is Opcode.PING:
            pass
        assert got.opcode is Opcode.TEXT, got
        found: Json = json.loads(bytes(got.data))
        self.session = found.pop("session", self.session)
        return found

    async def objects(self, count: int) -> list[Json]:
        """Return the next objects."""
        return [await self.next_object() for _ in range(count)]

    async def close_code(self) -> int:
        """Return the code of the close frame that comes next, and see that nothing follows it; 0 if it has none."""
        got = await self.next_frame()
        assert got.opcode is Opcode.CLOSE, got
        assert await self.client.rest() == b""
        return int.from_bytes(bytes(got.data[:2]))

    async def _take(self, size: int) -> bytes:
        while len(self.client.received) < size:
            self.client.received += await self.client.more()
        taken, self.client.received = self.client.received[:size], self.client.received[size:]
        return taken


def parse(data: bytes) -> Frame:
    """Return one whole frame of the server's."""
    at = 0

    def read_exact(size: int) -> Generator[None, None, bytes]:
        nonlocal at
        at += size
        return data[at - size : at]
        yield

    try:
        next(Frame.parse(read_exact, mask=False))
    except StopIteration as parsed:
        found: Frame = parsed.value
        return found
    raise AssertionError


async def open_websocket(edge: EdgeWithoutRedis, target: str = "/ws?id=room") -> WebSocketClient:
    """Return a client whose handshake was answered; its welcomes are not read."""
    client = await edge.connect()
    await client.send(head(target, *HANDSHAKE))
    answer = await client.until(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), answer
    assert f"Sec-WebSocket-Accept: {ACCEPT}\r\n".encode() in answer
    return WebSocketClient(client)


async def welcomed_websocket(edge: EdgeWithoutRedis, *channels: str) -> WebSocketClient:
    """Return a client that was welcomed to its channels."""
    one = await open_websocket(edge, "/ws?" + "&".join(f"id={name}" for name in channels))
    for welcome in await one.objects(len(channels) or 1):
        assert welcome["type"] == "welcome"
    return one


def mutated(chance: random.Random) -> bytes:
    """Return frames with a few bytes changed, cut, doubled or swapped."""
    frames = [
        text({"op": "sub", "id": "room"}),
        text({"op": "unsub", "id": "b"}),
        text([{"op": "ping"}] * 3),
        frame(Opcode.PING, b"x"),
        frame(Opcode.TEXT, b"x", fin=False),
        frame(Opcode.CONT, b"x"),
        closing(1000),
    ]
    data = bytearray(b"".join(chance.choices(frames, k=chance.randint(1, 6))))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        data[at] = chance.randrange(256)
    return bytes(data[: chance.randint(1, len(data))])
