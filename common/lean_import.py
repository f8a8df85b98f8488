"""Importing a library without what it loads only because it is there.

A process of this project holds tens of thousands of connections, and every megabyte that it carries for nothing is one
for each edge. Some libraries decide at import what to load: one looks whether a module can be imported, another reads
the environment. `lean_import` changes what they see for that moment; it is used where the saving was measured.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def lean_import(seen: MutableMapping[str, Any], values: Mapping[str, object]) -> Iterator[None]:
    """Let `seen` (`sys.modules`, `os.environ`) have other values during an import, and its own ones afterwards."""
    before = {name: seen[name] for name in values if name in seen}
    seen.update(values)
    try:
        yield
    finally:
        for name in values:
            del seen[name]
        seen.update(before)
