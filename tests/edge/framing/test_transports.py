"""All transports, and the framings that connections share."""

from edge.framing.http import Variant
from edge.framing.transports import framing_for


def test_connections_alike_share_a_framing() -> None:
    """The same transport and variant give the very same object, so that a message is encoded once for all."""
    assert framing_for("sse", Variant()) is framing_for("sse", Variant())
    assert framing_for("sse", Variant()) is not framing_for("sse", Variant(envelope=True))
