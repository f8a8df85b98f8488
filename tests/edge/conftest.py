"""What the edge's tests share."""

from collections.abc import AsyncIterator

import pytest

from edge.engine.poller import SelectorPoller, make_poller
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis


@pytest.fixture(params=[make_poller, SelectorPoller], ids=["epoll", "selector"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[EdgeWithoutRedis]:
    """Yield a small edge with the usual settings, on each kind of poller."""
    async with edge_without_redis(poller=request.param()) as it:
        yield it
