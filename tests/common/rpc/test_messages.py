from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FrameError, RequestError
from common.rpc.messages import (
    MAX_REPLY_BYTES,
    Address,
    Reply,
    Request,
    decode_receipt,
    decode_reply,
    decode_request,
    encode_error,
    encode_reply,
    encode_request,
    read_address,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(-(2**53), 2**53)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
fields = st.dictionaries(texts.filter(lambda name: name not in {"op", "inbox", "edge", "error"}), values, max_size=4)
ops = st.from_regex(r"[a-z]{1,32}", fullmatch=True)
addresses = st.builds(Address, st.from_regex(r"[0-9A-Za-z]{1,64}", fullmatch=True), st.integers(0, 10**20 - 1))


@given(addresses)
def test_an_address_is_read_as_it_was_written(address: Address) -> None:
    """`owner.number` names an inbox and what is answered."""
    assert read_address(str(address)) == address


@given(ops, addresses, fields)
def test_a_request_is_read_as_it_was_written(op: str, address: Address, fields: dict[str, Any]) -> None:
    """Operation, inbox and fields arrive."""
    request = Request(op, str(address), fields)
    assert decode_request(encode_request(request)) == request


@given(texts, fields)
def test_a_reply_is_read_as_it_was_written(edge: str, fields: dict[str, Any]) -> None:
    """Edge and fields arrive."""
    assert decode_reply(encode_reply(edge, fields)) == Reply(edge, fields)


@given(texts, st.integers(400, 599), texts)
def test_an_error_is_read_as_it_was_written(edge: str, code: int, sentence: str) -> None:
    """Status and sentence arrive."""
    reply = decode_reply(encode_error(edge, RequestError(sentence, code)))
    assert (reply.edge, reply.fields) == (edge, {})
    assert reply.error is not None
    assert (reply.error.status, reply.error.sentence) == (code, sentence)


@given(st.binary(max_size=60) | values.map(orjson.dumps))
def test_whatever_arrives_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    """Every reader returns or raises FrameError."""
    for decode in (decode_request, decode_reply, decode_receipt):
        with suppress(FrameError):
            decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"info",
        b"[]",
        b"{}",
        b'{"op":"info"}',
        b'{"op":"info","inbox":7}',
        b'{"op":7,"inbox":"a.1"}',
        b'{"op":"","inbox":"a.1"}',
        b'{"op":"INFO","inbox":"a.1"}',
        b'{"op":"info\\n","inbox":"a.1"}',
        b'{"op":"info","inbox":""}',
        b'{"op":"info","inbox":"a"}',
        b'{"op":"info","inbox":"a.1\\n"}',
        b'{"op":"info","inbox":"a b.1"}',
        b'{"op":"info","inbox":"a.b.1"}',
        b'{"op":"info","inbox":"a.' + b"1" * 21 + b'"}',
        b'{"op":"info","inbox":"a.-1"}',
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """An operation of small letters and an inbox, or nothing."""
    with pytest.raises(FrameError):
        decode_request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"7",
        b'{"subscribers":1}',
        b'{"edge":7}',
        b'{"edge":"a","error":"no"}',
        b'{"edge":"a","error":{"code":200,"content":"no"}}',
        b'{"edge":"a","error":{"code":400}}',
        b'{"edge":"a","x":"' + b"x" * MAX_REPLY_BYTES + b'"}',
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    """A reply names its edge, has an error that is one, and is not too long."""
    with pytest.raises(FrameError):
        decode_reply(data)


def test_a_reply_that_is_too_long_to_be_read_is_not_written() -> None:
    """The limit holds at both ends."""
    with pytest.raises(FrameError):
        encode_reply("a", {"x": "x" * MAX_REPLY_BYTES})
