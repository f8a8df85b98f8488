from urllib.parse import quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import FrameError
from common.message import FRAME_START, JOIN_START, LAST_EPOCH, Join, Message, decode, encode_frame, expiry
from common.position import Position

NUMBERS = st.integers(0, 2**63)
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
PAYLOADS = st.binary(max_size=200) | st.sampled_from(
    [b"\n", b"\x01C1 1 2 1\nhi", b"\x01C1 ", b"a\nb\r\nc", b"\xff\x00"]
)
MESSAGES = st.builds(
    Message, PAYLOADS, NUMBERS, NUMBERS, NUMBERS, event=WORDS, inbox=WORDS, expires=NUMBERS, bare=st.just(False)
)
HEADER_PARTS = st.sampled_from([b"1", b"0", b" ", b"\n", b"=", b"event=", b"inbox", b"%", b"%ff", b"\xff", b"-1", b"x"])
FRAME_LIKE = st.builds(
    lambda start, parts: start + b"".join(parts),
    st.sampled_from([FRAME_START, JOIN_START]),
    st.lists(HEADER_PARTS, max_size=12),
)


@given(MESSAGES)
@example(Message(b"\x01C1 9 9 9\nnested", 1, 2, 1, event="a b=c\n", inbox="%20"))
@example(Message(b"", 0, 0, 0))
def test_a_frame_survives_the_round_trip(message: Message) -> None:
    """Any payload, also one that looks like a frame, any event and any inbox come out as they went in."""
    assert decode(encode_frame(message)) == message


@given(st.binary(max_size=300) | FRAME_LIKE | FRAME_LIKE.map(lambda head: head + b"\npayload"))
@example(FRAME_START + b"9" * 5000 + b" 1 1\n")
def test_any_bytes_are_a_message_or_a_frame_error(data: bytes) -> None:
    """No PUBLISHed bytes raise another exception, and bytes that do not start like a frame are all payload."""
    try:
        message = decode(data)
    except FrameError:
        assert data.startswith((FRAME_START, JOIN_START))
        return
    framed = isinstance(message, Join) or not message.bare
    assert framed == data.startswith((FRAME_START, JOIN_START))
    assert framed or message == Message(data, bare=True)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\n", b"C1 1 2 1\nx", b"\x01C1", b"\x01C2 1 2 1\nx", b" \x01C1 1 2 1\nx"]
)
def test_what_does_not_start_like_a_frame_is_bare(data: bytes) -> None:
    """A plain PUBLISH is a live message without a position."""
    assert decode(data) == Message(data, bare=True)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\x01C1 1 2 1", "a framed message needs 'offset tag prev' and a line feed before its payload"),
        (b"\x01C1 1 2\nx", "a framed message needs 'offset tag prev' and a line feed before its payload"),
        (b"\x01C1 \n", "a framed message needs 'offset tag prev' and a line feed before its payload"),
        (b"\x01C1 -1 2 1\n", "a framed message has a broken header: b'-1' is not a number"),
        (b"\x01C1 +1 2 1\n", "a framed message has a broken header: b'+1' is not a number"),
        (b"\x01C1 1_0 2 1\n", "a framed message has a broken header: b'1_0' is not a number"),
        (b"\x01C1  1 2 1\n", "a framed message has a broken header: b'' is not a number"),
        (b"\x01J1 ", "a join frame names no epoch: b'' is not a number"),
        (b"\x01J1 1 ", "a join frame names no epoch: b'1 ' is not a number"),
        (
            b"\x01J1 9000000000001",
            "a join frame names no epoch: 9000000000001 cannot be one, no clock is that far ahead",
        ),
        (b"\x01J1 x\n", "a join frame names no epoch: b'x\\n' is not a number"),
        (b"\x01C1 1 2 \xd9\xa3\n", "a framed message has a broken header: b'\\xd9\\xa3' is not a number"),
    ],
)
def test_a_broken_frame_says_what_is_wrong(data: bytes, sentence: str) -> None:
    """What starts like a frame and is not one is never taken for a bare message."""
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("field", [b"event", b"", b"\xff=1"])
def test_a_field_that_is_not_a_pair_is_a_frame_error(field: bytes) -> None:
    """Optional fields are `name=value`, in UTF-8."""
    with pytest.raises(FrameError, match=r"^a framed message has a broken header: "):
        decode(b"\x01C1 1 2 1 " + field + b"\nhi")


def test_a_frame_is_written_as_the_wire_format_says() -> None:
    """Other programs write and read these very bytes."""
    assert encode_frame(Message(b"hi", 13, 1732, 1731)) == b"\x01C1 13 1732 1731\nhi"
    assert encode_frame(Message(b"hi")) == b"\x01C1 0 0 0\nhi"
    framed = encode_frame(Message(b"", 1, 2, 1, event="price up", inbox="p1:7", expires=1732))
    assert framed == b"\x01C1 1 2 1 event=price%20up expires=1732 inbox=p1%3A7\n"


@given(WORDS, WORDS, NUMBERS)
def test_a_field_cannot_break_out_of_the_header(event: str, inbox: str, expires: int) -> None:
    """Whatever an event is called, it adds one word and no line to the header."""
    frame = encode_frame(Message(b"", 1, 2, 1, event, inbox, expires))
    assert frame.count(b" ") == 3 + bool(event) + bool(inbox) + bool(expires)
    assert frame.index(b"\n") == len(frame) - 1


def test_unknown_fields_are_skipped() -> None:
    """A newer publisher can talk to an older edge."""
    assert decode(b"\x01C1 1 2 1 ttl=5 event=tick new=%0a\nhi") == Message(b"hi", 1, 2, 1, event="tick")


@given(st.integers(0, LAST_EPOCH))
@example(LAST_EPOCH)
def test_a_join_frame_names_its_epoch(epoch: int) -> None:
    """A join frame has a number and nothing else, and is told from messages."""
    assert decode(b"\x01J1 %d" % epoch) == Join(epoch)


def test_the_position_is_offset_and_tag() -> None:
    """A stored message has a position; a live one has none."""
    assert Message(b"hi", 13, 1732, 1731).position == Position(13, 1732)
    assert Message(b"hi").position is None


@pytest.mark.parametrize("expires", [b"", b"-5", b"1795540228796.5", b"tomorrow", b"\xff", b"9" * 5000])
def test_an_expiry_that_is_no_time_is_none(expires: bytes) -> None:
    """The message of a publisher that gets it wrong is still a message: it is replayed as long as it is kept."""
    assert expiry(expires) == 0
    assert decode(b"\x01C1 1 2 1 expires=" + quote_from_bytes(expires).encode() + b"\nhi") == Message(b"hi", 1, 2, 1)


def test_an_event_that_is_not_utf8_is_mended() -> None:
    """What cannot be read of it is shown as such, and the message is as good as any."""
    assert decode(b"\x01C1 1 2 1 event=caf%E9\nhi") == Message(b"hi", 1, 2, 1, event="caf\ufffd")
