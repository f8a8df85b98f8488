"""Operations: what a subscriber may say, and what it is told of the rest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.position import START, Position
from edge.framing.items import json_object
from edge.protocol.limits import MAX_OPERATIONS
from edge.protocol.operations import (
    BadOperationError,
    Op,
    Operation,
    bad_operation_item,
    load_operations,
    parse_operation,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["op", "id", "ref", "x"]), inner),
)
ALMOST = st.fixed_dictionaries(
    {"op": st.sampled_from([op.value for op in Op]) | ANYTHING},
    optional={"id": st.text() | ANYTHING, "ref": ANYTHING, "since": st.text() | ANYTHING, "history": ANYTHING},
)


@pytest.mark.parametrize(
    ("value", "operation"),
    [
        ({"op": "ping"}, Operation(Op.PING)),
        ({"op": "ping", "ref": 7, "id": "ignored"}, Operation(Op.PING, ref=7)),
        ({"op": "unsub", "id": "room"}, Operation(Op.UNSUB, "room")),
        ({"op": "token", "token": "a.b.c", "ref": 7, "id": "no name!"}, Operation(Op.TOKEN, ref=7, token="a.b.c")),
        ({"op": "sub", "id": "room", "ref": ""}, Operation(Op.SUB, "room", ref="")),
        ({"op": "sub", "id": "ü", "since": "12-17"}, Operation(Op.SUB, "ü", (Position(12, 17), 0))),
        ({"op": "sub", "id": "room", "since": "0", "history": 5}, Operation(Op.SUB, "room", (START, 5))),
        ({"op": "sub", "id": "room", "since": None, "colour": "red"}, Operation(Op.SUB, "room")),
        ({"op": "sub", "id": "room", "since": 0}, Operation(Op.SUB, "room", (START, 0))),
        ({"op": "sub", "id": "room", "since": "", "history": 5}, Operation(Op.SUB, "room", (None, 5))),
    ],
)
def test_an_operation_is_read(value: object, operation: Operation) -> None:
    """Unknown fields are ignored, so that a newer client can talk to an older edge."""
    assert parse_operation(value) == operation


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (7, "object"),
        ([], "object"),
        ({}, "op:"),
        ({"op": "shout"}, "op:"),
        ({"op": ["sub"]}, "op:"),
        ({"op": "sub"}, "id:"),
        ({"op": "token"}, "token:"),
        ({"op": "token", "token": ["a.b.c"]}, "token:"),
        ({"op": "sub", "id": ""}, "id:"),
        ({"op": "sub", "id": 7}, "id:"),
        ({"op": "unsub", "id": "a b"}, "id:"),
        ({"op": "sub", "id": "!edges"}, "id:"),
        ({"op": "sub", "id": "x" * 256}, "id:"),
        ({"op": "sub", "id": "a", "since": 7}, "since:"),
        ({"op": "sub", "id": "a", "since": False}, "since:"),
        ({"op": "sub", "id": "a", "since": []}, "since:"),
        ({"op": "sub", "id": "a", "since": " "}, "since:"),
        ({"op": "sub", "id": "a", "since": "1-2,3-4"}, "since:"),
        ({"op": "sub", "id": "a", "history": -1}, "history:"),
        ({"op": "sub", "id": "a", "history": 10_001}, "history:"),
        ({"op": "sub", "id": "a", "history": True}, "history:"),
        ({"op": "ping", "ref": "x" * 65}, "ref:"),
        ({"op": "ping", "ref": True}, "ref:"),
        ({"op": "ping", "ref": 1.5}, "ref:"),
        ({"op": "ping", "ref": {}}, "ref:"),
    ],
)
def test_what_is_wrong_is_named(value: object, word: str) -> None:
    """The sentence begins with the field."""
    with pytest.raises(BadOperationError) as caught:
        parse_operation(value)
    assert word in caught.value.sentence


@given(ALMOST | ANYTHING)
def test_anything_is_an_operation_or_an_error_that_can_be_sent(value: object) -> None:
    """Whatever JSON comes, nothing else is raised, and the error is one object with what was readable."""
    try:
        operation = parse_operation(value)
    except BadOperationError as error:
        found = json.loads(json_object(bad_operation_item(error)))
        assert (found["type"], found["code"]) == ("error", 400)
        assert len(found.get("op", "")) <= 60
        assert len(found.get("id", "")) <= 60
    else:
        assert operation.op in list(Op)


@given(st.binary(max_size=60) | st.text().map(str.encode))
def test_anything_is_json_or_refused(data: bytes) -> None:
    """Bytes that are not JSON are an error with a sentence."""
    try:
        values = load_operations(data)
    except BadOperationError:
        return
    assert 0 < len(values) <= MAX_OPERATIONS


def test_an_array_holds_a_bounded_number_of_operations() -> None:
    """One object is an array of one; none and too many are refused."""
    assert load_operations('{"op":"ping"}') == [{"op": "ping"}]
    assert len(load_operations(json.dumps([{}] * MAX_OPERATIONS))) == MAX_OPERATIONS
    for count in (0, MAX_OPERATIONS + 1):
        with pytest.raises(BadOperationError, match=str(MAX_OPERATIONS)):
            load_operations(json.dumps([{}] * count))


@pytest.mark.parametrize(("count", "limit"), [(1, None), (3, None), (4, "max_operations"), (0, "")])
def test_the_limit_may_be_lower(count: int, limit: str | None) -> None:
    """The error names its setting; an empty array crosses none."""
    if limit is None:
        assert len(load_operations(json.dumps([{}] * count), 3)) == count
        return
    with pytest.raises(BadOperationError, match=r"1 to 3 operations \(COMET_MAX_OPERATIONS\)") as caught:
        load_operations(json.dumps([{}] * count), 3)
    assert caught.value.limit == limit


@pytest.mark.parametrize("text", ["[" * 5000, '"\\ud800"', "{'op':'ping'}", "NaN", '{"op":"ping"} x'])
def test_json_is_json(text: str) -> None:
    """Nothing deeper, broken or nearly so."""
    with pytest.raises(BadOperationError, match="JSON"):
        load_operations(text)
