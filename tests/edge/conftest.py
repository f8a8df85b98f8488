"""What the edge's tests share."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from edge.poller import SelectorPoller, make_poller
from tests.edge.building import SmallEdge, small_edge

settings.register_profile("edge", deadline=None)  # a loaded machine must not make a test red
settings.load_profile("edge")


@pytest.fixture(params=[make_poller, SelectorPoller], ids=["epoll", "selector"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[SmallEdge]:
    """Yield a small edge with the usual settings, on each kind of poller."""
    async with small_edge(poller=request.param()) as it:
        yield it
