"""What the engine's tests share."""

from collections.abc import Iterator

import pytest

from tests.edge.engine.seats_on_sockets import POLLERS, SeatsOnSockets


@pytest.fixture(params=POLLERS)
def sockets(request: pytest.FixtureRequest) -> Iterator[SeatsOnSockets]:
    """Yield seats on each kind of poller."""
    it = SeatsOnSockets(request.param())
    yield it
    it.close()
