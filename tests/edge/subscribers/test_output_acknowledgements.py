"""What answers an operation."""

import pytest

from common.names import ForeignNames
from edge.engine.grants import Grants
from edge.framing.items import ItemKind
from edge.protocol.limits import MAX_CHANNELS
from edge.protocol.operations import Op, Operation
from edge.subscribers.output import Acknowledgements, error_of
from edge.subscribers.sessions import Sessions
from tests.edge.seats_on_sockets import SeatsOnSockets


@pytest.fixture
def answers(sockets: SeatsOnSockets) -> Acknowledgements:
    """Return what is tested: `staging:` is another deployment's."""
    foreign = ForeignNames("comet:")
    foreign.learn(["comet:", "comet:staging:"])
    return Acknowledgements(Sessions("edge", sockets.seats), foreign, Grants(), sockets.counters, MAX_CHANNELS)


def test_a_welcome_has_the_session_and_the_ref(sockets: SeatsOnSockets, answers: Acknowledgements) -> None:
    """The client may change its channels by it from elsewhere."""
    seat, _ = sockets.connect()
    welcome = answers.welcome(seat, "room", "1-101", Operation(Op.SUB, "room", ref="x"))
    assert welcome[:2] == (ItemKind.WELCOME, "room")
    assert (welcome.seq, welcome.ref, welcome.session[:5]) == ("1-101", "x", "edge.")


@pytest.mark.parametrize(("channel", "code"), [("room", None), ("staging:room", 403)])
def test_a_foreign_channel_is_refused(
    sockets: SeatsOnSockets, answers: Acknowledgements, channel: str, code: int | None
) -> None:
    """By the name alone."""
    seat, _ = sockets.connect()
    refusal = answers.refusal(seat, Operation(Op.SUB, channel))
    assert (refusal and refusal.code) == code


def test_an_error_says_what_was_to_be_done() -> None:
    """The operation, its channel and its ref."""
    error = error_of(Operation(Op.SUB, "room", ref=7), 409, "no")
    assert (error.kind, error.code, error.channel, error.op, error.ref) == (ItemKind.ERROR, 409, "room", "sub", 7)
