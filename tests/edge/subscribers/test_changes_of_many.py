"""What an operation costs does not depend on how many channels its subscriber has: 256 of them come in one turn."""

import sys
from types import FrameType
from urllib.parse import urlencode

import pytest

from edge.protocol.operations import Operation, parse_operation
from edge.protocol.subscribe import MAX_CHANNELS
from tests.edge.edge_without_redis import EdgeWithoutRedis
from tests.edge.http_client import head
from tests.edge.websocket_client import HANDSHAKE
from tests.pure_only import pure_only

KINDS = {"flips": ("unsub", "sub"), "known": ("sub",), "pings": ("ping",)}


async def lines_run(edge: EdgeWithoutRedis, channels: int, operations: list[Operation]) -> int:
    """Return how many lines of Python run for operations on the last of a new WebSocket's channels."""
    client = await edge.connect()
    await client.send(head("/ws?" + urlencode([("id", f"c{number}") for number in range(channels)]), *HANDSHAKE))
    await edge.until(lambda: edge.counters.opened_total["ws"])
    *_, seat = edge.seats
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for operation in operations:
            edge.changes.apply(seat, operation)
    finally:
        sys.settrace(before)
    return count


@pure_only  # compiled code has no lines to count
@pytest.mark.parametrize("ops", KINDS.values(), ids=KINDS)
async def test_an_operation_costs_the_same_with_many_channels(ops: tuple[str, ...], edge: EdgeWithoutRedis) -> None:
    """Not a line of Python more: 256 flips among 128 channels took 8 ms of one turn, half of it to look for them."""
    few = await lines_run(edge, 2, [parse_operation({"op": op, "id": "c1"}) for op in ops])
    last = f"c{MAX_CHANNELS - 1}"
    edge.counters.opened_total["ws"] = 0
    many = await lines_run(edge, MAX_CHANNELS, [parse_operation({"op": op, "id": last}) for op in ops])
    assert many == few
