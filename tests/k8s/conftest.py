"""Each overlay, rendered once."""

import pytest

from tests.k8s.rendering import OVERLAYS, Rendered, rendered


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Rendered:
    """Return each overlay, as kubectl renders it."""
    return rendered(request.param)
