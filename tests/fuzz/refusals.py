"""What a refusal may be, whatever was refused."""

import json
from collections.abc import Container

from common.errors import RequestError
from edge.framing.http import Variant, error_response

MAX_SENTENCE = 400  # characters: a part of the input may be in it, all of it may not


def check_refusal(error: RequestError, statuses: Container[int]) -> None:
    """Assert that an error has one of these statuses, and a sentence that can be sent in one line."""
    assert error.status in statuses, error.status
    assert 0 < len(error.sentence) <= MAX_SENTENCE, error.sentence
    head, _, body = error_response(error.status, error.sentence, Variant()).partition(b"\r\n\r\n")
    check_head(head)
    assert body.count(b"\n") == 1
    assert json.loads(body)["content"] == error.sentence


def check_head(head: bytes) -> None:
    """Assert that a response's head has one status line, and after it headers only."""
    status, *lines = head.split(b"\r\n")
    assert status.startswith(b"HTTP/1.1 "), status
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon
        assert name.replace(b"-", b"").isalnum(), line
        assert not {0, 10, 13}.intersection(value), line
