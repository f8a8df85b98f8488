"""A client's handshake and its frames: cut anywhere, mixed, broken; the websockets library is the judge."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol
from websockets.streams import StreamReader

from edge.protocol.limits import USUAL_LIMITS
from edge.protocol.websocket import FRAMES_PER_TURN, parse_frames
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.http_client import head
from tests.edge.usual_log import GENESIS
from tests.edge.websocket_client import ACCEPT, HANDSHAKE, closing, frame, open_websocket, text

TEXT = st.text(max_size=40)
Said = list[tuple[Opcode, bytes]]
UPGRADE, WEBSOCKET, VERSION, KEY = HANDSHAKE


def read_all(pieces: Sequence[bytes]) -> tuple[Said, int, bytes]:
    """Read what comes in pieces, to its end; return what was said, the close code of a fault, and the rest."""
    said: Said = []
    rest = b""
    for piece in pieces:
        rest += piece
        while True:
            received = parse_frames(rest)
            rest = received.rest
            said += [(Opcode.PING, payload) for payload in received.pings]
            if received.text is not None:
                said.append((Opcode.TEXT, received.text.encode()))
            if received.close is not None:
                said.append((Opcode.CLOSE, received.close))
                return said, 0, b""
            if received.fault is not None:
                return said, received.fault.code, b""
            if not received.more:
                break
    return said, 0, rest


class Judge(Protocol):
    """The library's own half of a server, on a connection that is open."""

    def __init__(self) -> None:
        super().__init__(SERVER, max_size=USUAL_LIMITS.max_websocket_bytes)

    def judge(self, data: bytes) -> tuple[Said, int]:
        """Return the messages and pings in some bytes, and the close code that it answers them with, 0 for none."""
        self.receive_data(data)
        said: Said = []
        for got in self.events_received():
            assert isinstance(got, Frame)
            self._take(said, got)
        failed = self.close_sent.code if self.parser_exc is not None and self.close_sent is not None else 0
        return said, failed

    def _take(self, said: Said, got: Frame) -> None:
        payload = bytes(got.data)
        if got.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._parts, self._kind = [payload], got.opcode
        elif got.opcode is Opcode.CONT:
            self._parts.append(payload)
        if got.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            if got.fin:
                said.append((self._kind, b"".join(self._parts)))
        elif got.opcode is not Opcode.PONG:
            said.append((got.opcode, payload))


def messages(draw: st.DrawFn) -> Said:
    """Draw what a client says."""
    kinds = st.one_of(
        st.tuples(st.just(Opcode.TEXT), TEXT.map(str.encode)),
        st.tuples(st.just(Opcode.PING), st.binary(max_size=125)),
    )
    return draw(st.lists(kinds, max_size=8))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Said, bytes]:
    """Draw what a client says, and the bytes of it: messages cut into fragments, pings and pongs between these."""
    said: Said = []
    data = b""
    for opcode, payload in messages(draw):
        if opcode is Opcode.PING:
            data += frame(Opcode.PING, payload)
            said.append((opcode, payload))
            continue
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        ends = [*cuts, len(payload)]
        for number, (start, end) in enumerate(zip([0, *cuts], ends, strict=True)):
            last = number == len(ends) - 1
            data += frame(Opcode.CONT if number else Opcode.TEXT, payload[start:end], fin=last)
            if not last and draw(st.booleans()):
                data += frame(Opcode.PING, b"between") + frame(Opcode.PONG)
                said.append((Opcode.PING, b"between"))
        said.append((Opcode.TEXT, payload))
    return said, data


@given(conversations(), st.data())
def test_what_is_sent_is_read_however_it_is_cut(spoken: tuple[Said, bytes], data: st.DataObject) -> None:
    """Messages whole, pings in order, whatever pieces the network makes of it; nothing is left over."""
    said, raw = spoken
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read_all(pieces) == (said, 0, b"")
    assert read_all([raw[at : at + 1] for at in range(len(raw))]) == (said, 0, b"")


@given(conversations(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3))
@example(([], frame(Opcode.TEXT, b"\xff")), [])
@example(([], b"\x89\xfe\x00\x7e" + b"\0" * 130), [])
@example(([], b"\x81\xff" + b"\0" * 6 + b"\x40\x01" + b"\0" * 4 + b"x" * 16385), [])
def test_the_library_reads_the_same(spoken: tuple[Said, bytes], changes: list[tuple[int, int]]) -> None:
    """Frames with a few bytes changed: we say what websockets' own server says, or close as it does."""
    raw = bytearray(spoken[1])
    for at, byte in changes:
        if raw:
            raw[at % len(raw)] = byte
    said, code, _ = read_all([bytes(raw)])
    theirs, their_code = Judge().judge(bytes(raw))
    assert said[:-1] == theirs[: len(said) - 1] if said else True
    if code in {1003, 1007} or (said and said[-1][0] is Opcode.CLOSE):
        return  # theirs speaks binary, leaves decoding to its callers, and refuses a close inside a message
    assert said == theirs
    assert code == their_code or (code == 1002 and their_code in {0, 1009})  # we refuse a long control frame at once


@given(st.binary(max_size=200))
def test_anything_at_all_is_read_or_refused(data: bytes) -> None:
    """No bytes raise anything, and what is left over is bounded."""
    _, code, rest = read_all([data])
    assert code in {0, 1002, 1003, 1007, 1009}
    assert len(rest) <= len(data) + 8


def test_what_is_kept_of_a_message_is_bounded() -> None:
    """Fragments without end are refused when they are too much; empty ones leave nothing behind."""
    rest = parse_frames(frame(Opcode.TEXT, b"x" * 100, fin=False)).rest
    for _ in range(1000):
        rest = parse_frames(rest + frame(Opcode.CONT, b"", fin=False)).rest
    assert len(rest) == 108
    while (received := parse_frames(rest + frame(Opcode.CONT, b"x" * 1000, fin=False))).fault is None:
        rest = received.rest
        assert len(rest) <= USUAL_LIMITS.max_websocket_bytes + 8
    assert received.fault.code == 1009


def test_a_call_reads_a_bounded_number_of_frames() -> None:
    """A flood of small frames is read a few at a time."""
    received = parse_frames(frame(Opcode.PONG) * 100)
    assert received.more
    assert len(received.rest) == (100 - FRAMES_PER_TURN) * 6


def test_one_message_is_read_at_a_time() -> None:
    """What follows it stays, a close frame ends everything."""
    received = parse_frames(text({"a": 1}) + text({"b": 2}))
    assert (received.text, received.more) == ('{"a": 1}', True)
    received = parse_frames(closing(1000, "bye") + text({"b": 2}))
    assert (received.close, received.text) == (b"\x03\xe8bye", None)


@pytest.mark.parametrize("size", [0, 125, 126, 65_535 // 4])
def test_the_library_reads_what_is_kept(size: int) -> None:
    """What is kept of an unfinished message is a frame like any other."""
    rest = parse_frames(frame(Opcode.TEXT, b"x" * size, fin=False)).rest
    reader = StreamReader()
    reader.feed_data(rest)
    with pytest.raises(StopIteration) as parsed:
        next(Frame.parse(reader.read_exact, mask=True))
    found = parsed.value.value
    assert (found.opcode, bytes(found.data), found.fin) == (Opcode.TEXT, b"x" * size, False)


# The handshake, on real connections.


@pytest.mark.parametrize("target", ["/ws?id=room", "/sub?id=room", "/sub?id=room&transport=ws"])
async def test_a_handshake_is_answered_and_then_the_welcome_comes(edge: EdgeWithoutRedis, target: str) -> None:
    """101 with the accept key of the RFC's own example, and the stream's objects in text frames."""
    one = await open_websocket(edge, target)
    assert await one.next_object() == {
        "type": "welcome",
        "id": "room",
        "content": "hello world!",
        "seq": f"0-{GENESIS}",
    }
    edge.publish("room", b"hi")
    assert await one.next_object() == {"type": "data", "id": "room", "content": "hi", "seq": "1-101"}


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ((), 400, "Upgrade"),
        ((UPGRADE, VERSION, KEY), 400, "Upgrade"),
        ((WEBSOCKET, VERSION, KEY), 400, "Connection"),
        (("Connection: keep-alive", WEBSOCKET, VERSION, KEY), 400, "Connection"),
        ((UPGRADE, WEBSOCKET, KEY), 426, "version"),
        ((UPGRADE, WEBSOCKET, "Sec-WebSocket-Version: 8", KEY), 426, "version"),
        ((UPGRADE, WEBSOCKET, VERSION), 400, "Sec-WebSocket-Key"),
        ((UPGRADE, WEBSOCKET, VERSION, "Sec-WebSocket-Key: c2hvcnQ="), 400, "Sec-WebSocket-Key"),
        ((UPGRADE, WEBSOCKET, VERSION, "Sec-WebSocket-Key: ????"), 400, "Sec-WebSocket-Key"),
        ((UPGRADE, WEBSOCKET, VERSION, "Sec-WebSocket-Key: \xe4\xe4"), 400, "Sec-WebSocket-Key"),
    ],
)
async def test_a_bad_handshake_is_refused(
    edge: EdgeWithoutRedis, headers: tuple[str, ...], status: int, word: str
) -> None:
    """The answer is plain HTTP with a sentence, and the connection is good for another request."""
    client = await edge.connect()
    answer = await client.ask(head("/ws?id=room", *headers))
    assert answer.status == status
    assert word in answer.json["content"]
    assert answer.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
    await client.send(head("/ws?id=room", *HANDSHAKE))
    assert ACCEPT.encode() in await client.until(b"\r\n\r\n")


async def test_a_handshakes_headers_may_be_on_several_lines(edge: EdgeWithoutRedis) -> None:
    """Connection and Upgrade are lists, as a proxy may have added to them."""
    client = await edge.connect()
    await client.send(
        head("/ws?id=room", "Connection: keep-alive", *HANDSHAKE, "Upgrade: h2c", "Sec-WebSocket-Protocol: x")
    )
    assert ACCEPT.encode() in await client.until(b"\r\n\r\n")


@pytest.mark.parametrize("line", ["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="])
async def test_a_handshake_has_one_version_and_one_key(edge: EdgeWithoutRedis, line: str) -> None:
    """RFC 6455 section 11.3: of two that differ none is right."""
    client = await edge.connect()
    answer = await client.ask(head("/ws?id=room", *HANDSHAKE, line))
    assert answer.status == 400
    assert answer.json["content"].lower().startswith(line.partition(":")[0].lower())


async def test_a_handshake_needs_http_1_1(edge: EdgeWithoutRedis) -> None:
    """RFC 6455 section 4.2.1 wants at least HTTP/1.1."""
    client = await edge.connect()
    assert (await client.ask(head("/ws?id=room", *HANDSHAKE, version="1.0"))).status == 400


async def test_a_handshake_of_a_foreign_page_is_refused() -> None:
    """A browser sends the page's origin with it."""
    async with edge_without_redis(allowed_origins=("https://a.example",)) as edge:
        client = await edge.connect()
        answer = await client.ask(head("/ws?id=room", *HANDSHAKE, "Origin: https://b.example"))
        assert answer.status == 403
        await client.send(head("/ws?id=room", *HANDSHAKE, "Origin: https://a.example"))
        assert b" 101 " in await client.until(b"\r\n\r\n")


@pytest.mark.parametrize("limit", [256, USUAL_LIMITS.max_websocket_bytes, 32_768])
def test_a_message_of_the_limit_is_read_and_one_byte_more_is_not(limit: int) -> None:
    """In one frame, and in two; the fault names the setting."""
    whole = frame(Opcode.TEXT, b"x" * limit)
    parts = frame(Opcode.TEXT, b"x" * (limit - 1), fin=False) + frame(Opcode.CONT, b"x")
    again = parse_frames(parse_frames(parts[:-2], limit).rest + parts[-2:], limit)
    assert [each.text for each in (parse_frames(whole, limit), parse_frames(parts, limit), again)] == ["x" * limit] * 3
    fault = parse_frames(frame(Opcode.TEXT, b"x" * (limit + 1)), limit).fault
    assert fault == (1009, f"a message has at most {limit} bytes (COMET_MAX_WEBSOCKET_BYTES)", "max_websocket_bytes")
