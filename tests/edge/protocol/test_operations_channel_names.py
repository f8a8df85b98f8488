"""An operation names its channel as a URL does."""

import pytest

from edge.protocol.operations import BadOperationError, Op, Operation, parse_operation
from tests.edge.edge_without_redis import edge_without_redis
from tests.edge.websocket_client import text, welcomed_websocket


@pytest.mark.parametrize("name", ["id", "channel", "cname"])
@pytest.mark.parametrize("op", [Op.SUB, Op.UNSUB])
def test_a_channel_has_the_names_it_has_everywhere(name: str, op: Op) -> None:
    """`channel` and `cname` are `id`."""
    assert parse_operation({"op": op.value, name: "room"}) == Operation(op, "room")


def test_of_several_names_the_id_counts() -> None:
    """As it did before the others were read."""
    assert parse_operation({"op": "sub", "cname": "b", "channel": "c", "id": "a"}).channel == "a"


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ({"op": "sub", "id": 1}, "id: the name of a channel is a string"),
        ({"op": "sub", "channel": ["room"]}, "id: the name of a channel is a string"),
        ({"op": "sub", "channel": ""}, "id: give the name of a channel"),
        ({"op": "sub"}, "id: give the name of a channel"),
    ],
)
def test_what_is_no_name_is_told_so(value: dict[str, object], start: str) -> None:
    """A number is not nothing."""
    with pytest.raises(BadOperationError) as caught:
        parse_operation(value)
    assert caught.value.sentence.startswith(start)


async def test_a_websocket_subscribes_by_the_other_name() -> None:
    """Over a real connection."""
    async with edge_without_redis() as edge:
        one = await welcomed_websocket(edge)
        await one.client.send(text('{"op":"sub","channel":"room","ref":1}'))
        welcome = await one.next_object()
        assert (welcome["type"], welcome["id"], welcome["ref"]) == ("welcome", "room", 1)
