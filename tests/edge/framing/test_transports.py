"""All transports, and the framings that connections share."""

import pytest

from edge.framing.http import Variant
from edge.framing.transports import TRANSPORTS, framing_for


def test_connections_alike_share_a_framing() -> None:
    """The same transport and variant give the very same object, so that a message is encoded once for all."""
    assert framing_for("sse", Variant()) is framing_for("sse", Variant())
    assert framing_for("sse", Variant()) is not framing_for("sse", Variant(envelope=True))


def test_the_transports_have_the_names_of_the_wire() -> None:
    """Their names are paths, values of `transport=` and labels of metrics; errors list them in this order."""
    assert list(TRANSPORTS) == ["stream", "sse", "poll", "jsonp", "iframe", "ws"]
    assert all(name == framing.kind.transport for name, framing in TRANSPORTS.items())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_framing_keeps_its_variant(transport: str) -> None:
    """It is needed again where a framing is exchanged for one that differs in one thing."""
    variant = Variant(callback="f")
    framing = framing_for(transport, variant._replace(closing=True))
    assert (type(framing), framing.variant.closing) == (TRANSPORTS[transport], True)
    assert framing_for(transport, framing.variant._replace(closing=False)) is framing_for(transport, variant)
