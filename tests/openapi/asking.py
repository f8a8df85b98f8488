"""Sending the examples of the documents, and comparing what comes back with what they show."""

import http.client
import json
import re
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tests.openapi.documents import Expected, Operation

HOST = "127.0.0.1"
PATIENCE = 8.0
PORT = re.compile(r":[0-9]+$")
EVENTS = "text/event-stream"
#: What differs from one run to the next.
CHANGING = frozenset({"seq", "at", "limit", "probe_age_seconds", "seconds", "error"})


class Answer(NamedTuple):
    """An answer; of one that does not end, its first event."""

    status: int
    content_type: str
    headers: dict[str, str]
    text: str


def ask(port: int, operation: Operation, example: str, headers: dict[str, str] | None = None) -> Answer:
    """Send an example; one that the operation does not have is a request without parameters."""
    query: list[tuple[str, Any]] = []
    path = operation.path
    for place, name, value in operation.parameters(example):
        if place == "path":
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        else:
            query.append((name, value))
    target = f"{path}?{urlencode(query, doseq=True)}" if query else path
    content_type, data = _encoded(operation, example)
    with closing(http.client.HTTPConnection(HOST, port, timeout=PATIENCE)) as connection:
        connection.request(operation.method, target, data, content_type | (headers or {}))
        return _read(connection.getresponse())


def _encoded(operation: Operation, example: str) -> tuple[dict[str, str], str | None]:
    body = operation.body(example)
    if body is None:
        return {}, None
    data = json.dumps(body.value) if body.content_type.endswith("json") else urlencode(body.value, doseq=True)
    return {"Content-Type": body.content_type}, data


def _read(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    content_type = headers.get("content-type", "").partition(";")[0]
    with response:
        data = response.readline() + response.readline() if content_type == EVENTS else response.read()
    return Answer(response.status, content_type, headers, data.decode())


def comparable(expected: Expected | Answer) -> tuple[int, str, Any]:
    """Return status, content type and body, without what differs from one run to the next."""
    status, content_type = expected.status, expected.content_type
    value = expected.text if isinstance(expected, Answer) else expected.value
    if content_type == EVENTS:
        value = json.loads(value.removeprefix("data: "))
    elif content_type.endswith("json") and isinstance(expected, Answer):
        value = json.loads(value)
    return status, content_type, _lasting(value)


def _lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [_lasting(each) for each in value]
    if isinstance(value, str) and value.startswith("http://"):
        return PORT.sub(":PORT", value)
    if not isinstance(value, dict):
        return value
    if "uptime" in value:  # an edge: what it does is another matter
        return {name: sorted(part) if isinstance(part, dict) else type(part) for name, part in value.items()}
    return {name: _field(name, part) for name, part in value.items()}


def _field(name: str, value: Any) -> Any:
    if name in CHANGING:
        return "…"
    if isinstance(value, dict) and name in {"edges", "errors"}:  # by the ids of edges
        return sorted(value.values())
    return _lasting(value)
