"""Operations: each is carried out as it was meant, or gets an error that can be sent; the answers are not much larger.

The same JSON means the same in a WebSocket's message and in the body of a POST, and what an edge forwards to another
one (edge/cluster/forwarding.py) is read there as it was here.
"""

import orjson

from common.names import check_channel
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.protocol.limits import MAX_OPERATIONS
from edge.protocol.operations import (
    MAX_REF_LENGTH,
    BadOperationError,
    Op,
    Operation,
    bad_operation_item,
    load_operations,
    parse_operation,
)
from edge.protocol.subscribe import MAX_HISTORY
from tests.fuzz.refusals import check_refusal

MAX_ERROR_BYTES = 2000  # of the answer to one operation that is wrong
FRAMING = framing_for("ws", Variant())

Outcome = Operation | str  # the sentence of an error


def check(data: bytes) -> None:
    """Look at what a message or a body holds."""
    values, outcomes = read(data)
    if (text := _as_text(data)) is not None:
        assert read(text)[1] == outcomes
    if all(isinstance(outcome, Operation) for outcome in outcomes):
        assert read(orjson.dumps(values))[1] == outcomes, "another edge would read it differently"


def read(text: str | bytes) -> tuple[list[object], list[Outcome]]:
    """Return the operations as values, and what each of them is."""
    try:
        values = load_operations(text)
    except BadOperationError as error:
        _check_error(error)
        return [], [error.sentence]
    assert 0 < len(values) <= MAX_OPERATIONS
    return values, [_outcome(value) for value in values]


def _outcome(value: object) -> Outcome:
    try:
        operation = parse_operation(value)
    except BadOperationError as error:
        _check_error(error)
        return error.sentence
    _check_operation(operation)
    written = {"op": operation.op, "ref": operation.ref, "history": operation.start[1]}
    if operation.channel:
        written["id"] = operation.channel
    if operation.start[0] is not None:
        written["since"] = str(operation.start[0])
    assert parse_operation(orjson.loads(orjson.dumps(written))) == operation
    return operation


def _check_operation(operation: Operation) -> None:
    assert bool(operation.channel) == (operation.op is not Op.PING)
    if operation.channel:
        check_channel(operation.channel)
    assert 0 <= operation.start[1] <= MAX_HISTORY
    assert not isinstance(operation.ref, str) or len(operation.ref) <= MAX_REF_LENGTH


def _check_error(error: BadOperationError) -> None:
    check_refusal(error, {400})
    assert len(FRAMING.encode([bad_operation_item(error)], "")) <= MAX_ERROR_BYTES


def _as_text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
