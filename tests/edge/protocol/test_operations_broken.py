"""An operation that cannot be read costs no other operation of its array."""

import pytest

from edge.protocol.operations import BadOperationError, Op, Operation, load_operations, parse_operation
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.websocket_client import text, welcomed_websocket

GOOD = r'{"op":"unsub","id":"room"}'


@pytest.mark.parametrize(
    ("broken", "start", "known"),
    [
        (r'{"op":"sub","id":"\ud83d","ref":1}', "id: ", ("sub", "", 1)),
        (r'{"op":"sub","id":"room","ref":"\ud83d"}', "ref: ", ("sub", "room", None)),
        (r'{"op":"\ud83d","id":"room"}', "op: ", ("", "room", None)),
        (r'{"op":"sub","id":"room","x":{"y":["\ud83d"]}}', "x: ", ("sub", "room", None)),
        (r'{"op":"sub","id":"room","\ud83d":1,"ref":2}', "the name of a field: ", ("sub", "room", 2)),
        (r'"\ud83d"', "an operation is", ("", "", None)),
        (r'["\ud83d"]', "an operation is", ("", "", None)),
    ],
)
def test_a_lone_surrogate_costs_its_operation(broken: str, start: str, known: tuple[str, str, object]) -> None:
    """The error names the field and tells what could be read."""
    for source in (f"[{GOOD},{broken},{GOOD}]", f"[{GOOD},{broken},{GOOD}]".encode()):
        first, wrong, last = load_operations(source)
        assert parse_operation(first) == parse_operation(last) == Operation(Op.UNSUB, "room")
        with pytest.raises(BadOperationError) as caught:
            parse_operation(wrong)
        assert caught.value.sentence.startswith(start)
        assert (caught.value.op, caught.value.channel, caught.value.ref) == known


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "123456789012345678901234567890", "18446744073709551616", "1e-400"]
)
def test_a_large_number_costs_its_operation_at_most(number: str) -> None:
    """In a field that is read it is an error; the others are done."""
    _, wrong = load_operations(rf'[{{"x":"\ud83d"}},{{"op":"ping","ref":{number}}}]')
    with pytest.raises(BadOperationError, match=r"^ref: "):
        parse_operation(wrong)


@pytest.mark.parametrize("source", ["[NaN]", "[Infinity]", '[{"x":-Infinity}]', "[" * 9999, "7e", b'["\xff"]', b"[\0"])
def test_what_is_not_json_is_still_refused(source: str | bytes) -> None:
    """NaN and what is near to it, bytes that are not UTF-8, and what is nested without end."""
    with pytest.raises(BadOperationError, match="this is not JSON"):
        load_operations(source)


async def test_a_websocket_does_the_other_operations() -> None:
    """Over a real connection: both channels are subscribed to, and the error has its operation's `ref`."""
    async with edge_without_redis() as edge:
        one = await welcomed_websocket(edge)
        await one.client.send(text(r'[{"op":"sub","id":"a"},{"op":"sub","id":"\ud83d","ref":7},{"op":"sub","id":"b"}]'))
        answers = await one.objects(3)
    assert [answer["ref"] for answer in answers if answer["type"] == "error"] == [7]
    assert sorted(answer["id"] for answer in answers if answer["type"] == "welcome") == ["a", "b"]
