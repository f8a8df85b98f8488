"""What the pages `docs/openapi*.yaml` say of each operation, in the order of the page."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from openapi_json import ROOT, SERVED

PUBLISHER, PUBLISHER_INTERNAL, EDGE_INTERNAL = SERVED
METHODS = ("get", "post", "put", "patch", "delete")

Json = dict[str, Any]


class Body(NamedTuple):
    """The body of a request: its content type, and a value."""

    content_type: str
    value: Any


class Expected(NamedTuple):
    """The answer that an example shows; without a value any will do."""

    status: int
    content_type: str
    value: Any


class Operation:
    """One method of one path; references to components are resolved where they are asked for."""

    def __init__(self, document: Json, path: str, method: str) -> None:
        self.path = path
        self.method = method.upper()
        self._document = document
        self._own: Json = document["paths"][path][method]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def statuses(self) -> list[str]:
        """The statuses that are described."""
        return list(self._own["responses"])

    def response(self, status: str) -> Json:
        """Return what is said of a status."""
        return self._resolved(self._own["responses"][status])

    def parameters(self, example: str) -> Iterator[tuple[str, str, Any]]:
        """Yield place, name and value of each parameter that an example has."""
        for parameter in map(self._resolved, self._own.get("parameters", ())):
            if example in parameter.get("examples", {}):
                yield parameter["in"], parameter["name"], parameter["examples"][example]["value"]

    def body(self, example: str) -> Body | None:
        """Return the body that an example has."""
        for content_type, media in self._own.get("requestBody", {}).get("content", {}).items():
            if example in media["examples"]:
                return Body(content_type, media["examples"][example]["value"])
        return None

    def asked(self) -> list[str]:
        """Return the names of the examples of its request."""
        parameters = map(self._resolved, self._own.get("parameters", ()))
        bodies = self._own.get("requestBody", {}).get("content", {}).values()
        return list(dict.fromkeys(name for part in (*parameters, *bodies) for name in part.get("examples", {})))

    def answered(self) -> dict[str, Expected]:
        """Return the examples of its answers by name."""
        found: dict[str, Expected] = {}
        for status in self.statuses:
            for content_type, media in self.response(status).get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    assert name not in found, f"{self}: two answers to {name}"
                    found[name] = Expected(int(status), content_type, example["value"])
        return found

    def _resolved(self, part: Mapping[str, Any]) -> Json:
        return resolved(self._document, part)


def document(page: str) -> Json:
    """Return a page as values."""
    return yaml.safe_load((ROOT / page).read_text())  # type: ignore[no-any-return]


def operations(page: str) -> list[Operation]:
    """Return the operations of a page."""
    found = document(page)
    return [Operation(found, path, method) for path, item in found["paths"].items() for method in item]


def resolved(document: Json, part: Mapping[str, Any]) -> Json:
    """Return what a part says, or what it refers to says."""
    if "$ref" not in part:
        return dict(part)
    found: Any = document
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(document, found)


def references(part: Any) -> Iterator[str]:
    """Yield every reference in a part of a document."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)
