"""What the engine's tests share."""

from collections.abc import Iterator

import pytest

from tests.edge.engine.seats_on_sockets import POLLERS, Room


@pytest.fixture(params=POLLERS)
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    """Yield seats on each kind of poller."""
    it = Room(request.param())
    yield it
    it.close()
