"""What the tests of the cluster share: edges on a real Valkey, and their subscribers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from edge.app import Edge
from tests.edge.real_edges import running, subscribers


@pytest.fixture
async def edges(valkey_url: str, prefix: str) -> AsyncIterator[list[Edge]]:
    """Yield two edges on the Valkey that all tests share."""
    async with running(valkey_url, prefix) as it:
        yield it


@pytest.fixture
async def subscribe() -> AsyncIterator[Any]:
    """Yield a function that subscribes at an edge."""
    async with subscribers() as it:
        yield it
