"""What the edge's tests share."""

from collections.abc import AsyncIterator

import pytest

from edge.engine.poller import SelectorPoller, make_poller
from tests.edge.edge_without_redis import SmallEdge, small_edge


@pytest.fixture(params=[make_poller, SelectorPoller], ids=["epoll", "selector"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[SmallEdge]:
    """Yield a small edge with the usual settings, on each kind of poller."""
    async with small_edge(poller=request.param()) as it:
        yield it
