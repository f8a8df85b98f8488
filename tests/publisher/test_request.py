from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequestError, RequestError, TooLargeError
from publisher.request import (
    Batch,
    PublishRequest,
    max_body_bytes,
    parse_broadcast,
    parse_channel,
    parse_form,
    parse_json,
)

LIMIT = 100
CHANNEL_CHARACTERS = st.characters(categories=("L", "N"))


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        (b"id=1&content=hi", b"", [("1", b"hi")]),
        (b"channel=1&content=hi", b"", [("1", b"hi")]),
        (b"cname=1&content=hi", b"", [("1", b"hi")]),
        (b"", b"id=1&content=a+b%26c", [("1", b"a b&c")]),
        (b"id=1", b"content=hi", [("1", b"hi")]),
        (b"id=1&content=", b"", [("1", b"")]),
        (b"id=b&id=a&cname=b&content=x", b"", [("b", b"x"), ("a", b"x")]),
        ("id=ü&content=ü".encode(), b"", [("ü", "ü".encode())]),
    ],
)
def test_the_form_is_read_from_query_and_body(query: bytes, body: bytes, expected: list[tuple[str, bytes]]) -> None:
    """Query and form body are one form, `id` has synonyms, and every message wants a receipt."""
    requests = parse_form(query, body, LIMIT)
    assert requests == [PublishRequest(channel, payload, receipt=True) for channel, payload in expected]


def test_the_form_takes_an_event_and_a_key() -> None:
    """The short form can name an event and an idempotency key."""
    (request,) = parse_form(b"id=1&content=hi&event=news&key=k-1", b"", LIMIT)
    assert (request.event, request.key) == ("news", "k-1")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"", "id"),
        (b"content=hi", "id"),
        (b"id=1", "content"),
        (b"id=&content=hi", "id"),
        (b"id=a+b&content=hi", "id"),
        (b"id=1&content=hi&content=ho", "content"),
        (b"id=1&content=hi&evnt=x", "evnt"),
        (b"id=1&content=hi&receipt=true", "receipt"),
        (b"id=1&content=hi&event=error", "event"),
        (b"id=1&content=hi&event=a%0Ab", "event"),
        (b"id=1&content=hi&key=", "key"),
        (b"id=1&content=hi&key=a+b", "key"),
        (b"id=1&content=%FF", "the parameters"),
        (b"id=1&content=\xff", "the parameters"),
        (b"id=1&" * 1001, "a request"),
    ],
)
def test_a_wrong_form_is_told_which_field_is_wrong(query: bytes, field: str) -> None:
    """Every fault of a form is a sentence that begins with the field's name."""
    with pytest.raises(BadRequestError) as caught:
        parse_form(query, b"", LIMIT)
    assert caught.value.sentence.startswith(field)


@pytest.mark.parametrize(
    ("content", "payload"),
    [
        (b'"hi"', b"hi"),
        (b'""', b""),
        (b'"\\u0000\\n"', b"\0\n"),
        (b'{ "a": [1, 2.5, null] }', b'{"a":[1,2.5,null]}'),
        (b"null", b"null"),
        (b"7", b"7"),
        (b'["\xc3\xbc"]', b'["\xc3\xbc"]'),
    ],
)
def test_content_is_a_string_or_any_json(content: bytes, payload: bytes) -> None:
    """A string is published as it is, any other JSON value as its compact text."""
    batch = parse_json(b'{"id":"1","content":' + content + b"}", LIMIT)
    assert batch == Batch([PublishRequest("1", payload)], single=True)


def test_a_json_object_can_say_everything() -> None:
    """All fields of one message arrive."""
    body = b'{"id":"room","content":"hi","event":"news","key":"k","receipt":true,"ephemeral":false}'
    assert parse_json(body, LIMIT).entries == [PublishRequest("room", b"hi", "news", "k", receipt=True)]


@pytest.mark.parametrize("names", [["id"], ["channel"], ["cname"], ["id", "channel"], ["cname", "channel", "id"]])
def test_the_channel_has_the_names_it_has_everywhere(names: list[str]) -> None:
    """`channel` and `cname` are `id`, as in a form and on the edge; several are fine if they say the same."""
    body = orjson.dumps({"content": "hi", **dict.fromkeys(names, "room")})
    assert parse_json(body, LIMIT).entries == [PublishRequest("room", b"hi")]


def test_a_form_may_carry_a_cache_buster() -> None:
    """`_` is what scripts add to an address so that no cache knows it; it is no field of ours."""
    assert parse_form(b"id=1&content=hi&_=1795540228796", b"_=", LIMIT) == parse_form(b"id=1&content=hi", b"", LIMIT)
    assert parse_channel(b"_=17&id=room") == "room"


def test_ids_address_one_message_to_several_channels() -> None:
    """`ids` makes one entry for each name, in order; a bad name takes only its own place."""
    entries, single = parse_json(b'{"ids":["a","b c",3,"d"],"content":"x","ephemeral":true}', LIMIT)
    assert not single
    assert entries[0] == PublishRequest("a", b"x", ephemeral=True)
    assert entries[3] == PublishRequest("d", b"x", ephemeral=True)
    assert [isinstance(entry, BadRequestError) for entry in entries] == [False, True, True, False]


def test_in_an_array_each_message_has_its_own_error() -> None:
    """A message that is wrong does not stop the others of its array."""
    body = b'[{"id":"a","content":"x"},{"id":"a"},7,{"id":"b","content":"y","ids":[]}]'
    first, *others = parse_json(body, LIMIT).entries
    assert first == PublishRequest("a", b"x")
    assert [str(error).partition(":")[0] for error in others] == [
        "content",
        'a message must be a JSON object such as {"id"',
        "ids",
    ]


@pytest.mark.parametrize(
    ("body", "start"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'"hi"', "a message must be"),
        (b"{}", "id:"),
        (b'{"id":"1"}', "content:"),
        (b'{"id":1,"content":"x"}', "id:"),
        (b'{"id":"a*","content":"x"}', "id:"),
        (b'{"id":"1","contnt":"x"}', "contnt:"),
        (b'{"id":"1","content":"x","event":"welcome"}', "event:"),
        (b'{"id":"1","content":"x","event":"a\\u0000b"}', "event:"),
        (b'{"id":"1","content":"x","event":7}', "event:"),
        (b'{"id":"1","content":"x","key":""}', "key:"),
        (b'{"id":"1","content":"x","key":"a\\tb"}', "key:"),
        (b'{"id":"1","content":"x","key":null}', "key:"),
        (b'{"id":"1","content":"x","key":"k","ephemeral":true}', "key:"),
        (b'{"id":"1","content":"x","receipt":1}', "receipt:"),
        (b'{"id":"1","content":"x","ephemeral":"yes"}', "ephemeral:"),
        (b'{"ids":"1","content":"x"}', "ids:"),
        (b'{"ids":["1"],"id":"1","content":"x"}', "id:"),
        (b'{"ids":["1"],"cname":"1","content":"x"}', "cname:"),
        (b'{"id":"1","channel":"2","content":"x"}', "id:"),
        (b'{"channel":"1","cname":"","content":"x"}', "id:"),
        (b'{"id":"1","channel":1,"content":"x"}', "id:"),
        (b'{"cname":["1"],"content":"x"}', "id:"),
        (b'{"ids":["1"]}', "content:"),
        (b'{"id":"1","content":' + b"[" * 500 + b"]" * 500 + b"}", "content:"),
    ],
)
def test_wrong_json_is_told_which_field_is_wrong(body: bytes, start: str) -> None:
    """Every fault of a JSON request is a sentence that begins with the field's name."""
    with pytest.raises(BadRequestError) as caught:
        parse_json(body, LIMIT)
    assert caught.value.sentence.startswith(start)


@pytest.mark.parametrize(
    ("body", "name"),
    [(b"[" + b"7," * 1000 + b"7]", "the array"), (b'{"ids":[' + b"7," * 1000 + b'7],"content":"x"}', "ids")],
)
def test_a_message_too_many_is_told_both_limits(body: bytes, name: str) -> None:
    """As a body with a byte too many is."""
    with pytest.raises(TooLargeError) as caught:
        parse_json(body, LIMIT)
    assert caught.value.sentence == (
        f"{name}: these are 1001 messages; one request has at most 1000 messages and 8388608 bytes"
    )


def test_the_largest_message_fits_into_a_body_however_it_is_escaped() -> None:
    """Six bytes for each byte, as in `\\u0000`, and a mebibyte for the rest; many small ones have 8 MiB."""
    assert max_body_bytes(1_300_000) == 6 * 1_300_000 + 2**20
    assert max_body_bytes(1000) == 8 * 2**20


@pytest.mark.parametrize("field", ["event", "key"])
def test_names_may_be_128_characters_long(field: str) -> None:
    """128 characters of an event name or a key are fine, 129 are not."""
    body = b'{"id":"1","content":"x","%b":"%b"}'
    assert parse_json(body % (field.encode(), b"n" * 128), LIMIT).single
    with pytest.raises(BadRequestError, match=f"^{field}: "):
        parse_json(body % (field.encode(), b"n" * 129), LIMIT)


def test_the_limit_counts_bytes_of_the_payload() -> None:
    """A payload of exactly the limit passes, one byte more is too large, in both variants."""
    assert parse_form(b"id=1&content=" + b"%C3%BC" * 50, b"", LIMIT)[0].payload == b"\xc3\xbc" * 50
    with pytest.raises(TooLargeError, match="content: 102 bytes; at most 100"):
        parse_form(b"id=1&content=" + b"%C3%BC" * 51, b"", LIMIT)
    with pytest.raises(TooLargeError):
        parse_json(b'{"id":"1","content":"' + b"x" * 101 + b'"}', LIMIT)


@given(st.text(CHANNEL_CHARACTERS, min_size=1, max_size=20), st.text(st.characters(codec="utf-8"), max_size=25))
def test_any_text_arrives_unchanged(channel: str, content: str) -> None:
    """Whatever text JSON can carry is published as exactly its UTF-8 bytes."""
    body = orjson.dumps({"id": channel, "content": content})
    assert parse_json(body, LIMIT).entries == [PublishRequest(channel, content.encode())]


@given(st.binary())
def test_no_bytes_make_the_parsers_fail_unexpectedly(data: bytes) -> None:
    """Random bytes are a request or a `RequestError`, never another exception."""
    for parse in (lambda: parse_form(data, data, LIMIT), lambda: parse_json(data, LIMIT)):
        with suppress(RequestError):
            parse()


@given(st.binary(max_size=50), st.binary(max_size=50), st.booleans())
def test_any_bytes_are_a_broadcast_or_an_error(query: bytes, body: bytes, is_json: bool) -> None:
    """Nothing but `RequestError` comes out, and a message within the limit."""
    with suppress(RequestError):
        message = parse_broadcast(query, body, LIMIT, is_json=is_json)
        assert (message.channel, len(message.payload) <= LIMIT) == ("", True)


@given(st.binary(max_size=50), st.binary(max_size=50), st.booleans())
def test_any_bytes_name_one_channel_or_are_an_error(query: bytes, body: bytes, required: bool) -> None:
    """Nothing but `RequestError` comes out; a channel that is required is there."""
    with suppress(RequestError):
        assert parse_channel(query, body, required=required) or not required


@given(st.text(CHANNEL_CHARACTERS, min_size=1, max_size=20), st.sampled_from(["id", "channel", "cname"]))
def test_a_channel_is_read_from_query_or_body(channel: str, name: str) -> None:
    """By each of its names."""
    assert parse_channel(f"{name}={channel}".encode()) == channel
    assert parse_channel(b"", f"{name}={channel}".encode()) == channel
