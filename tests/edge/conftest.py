"""What the edge's tests share."""

from collections.abc import AsyncIterator, Iterator

import pytest

from edge.engine.poller import SelectorPoller, make_poller
from tests.edge.edge_without_redis import EdgeWithoutRedis, edge_without_redis
from tests.edge.seats_on_sockets import SeatsOnSockets

on_each_poller = pytest.fixture(params=[make_poller, SelectorPoller], ids=["epoll", "selector"])


@on_each_poller
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[EdgeWithoutRedis]:
    """Yield an edge without Redis, with the usual settings, on each kind of poller."""
    async with edge_without_redis(poller=request.param()) as it:
        yield it


@on_each_poller
def sockets(request: pytest.FixtureRequest) -> Iterator[SeatsOnSockets]:
    """Yield seats on each kind of poller."""
    it = SeatsOnSockets(request.param())
    yield it
    it.close()
