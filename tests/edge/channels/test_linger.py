"""Lingering: how long channels stay after their last subscriber, and how many of those without messages."""

import pytest

from common.position import Position
from edge.channels.linger import CHANNELS_PER_TURN, Lingering
from edge.state import Channel
from tests.edge.edge_without_redis import FakeClock


class World:
    """Channels that linger for 30 seconds, at most three of them without messages."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.gone: list[str] = []
        self.lingering = Lingering(self.clock, 30.0, 3, lambda channel: self.gone.append(channel.name))

    def begin(self, name: str, offset: int = 0) -> Channel:
        """Let a channel linger whose log stands at this offset."""
        channel = Channel(name)
        channel.last = Position(offset, 7)
        self.lingering.begin(channel)
        return channel

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        while self.lingering.advance(self.clock.now):
            pass


@pytest.fixture
def world() -> World:
    """Return a world without channels."""
    return World()


@pytest.mark.parametrize("offset", [0, 1], ids=["without messages", "with messages"])
def test_a_channel_lingers_for_its_time(world: World, offset: int) -> None:
    """Not shorter, and at most half a second longer."""
    world.begin("room", offset)
    world.pass_time(29.5)
    assert world.gone == []
    world.pass_time(1.0)
    assert world.gone == ["room"]


def test_the_oldest_without_messages_go_first(world: World) -> None:
    """As soon as there is one too many; one that lingers anew is young again."""
    first = world.begin("a")
    for name in "bc":
        world.begin(name)
    world.lingering.begin(first)
    world.begin("d")
    assert world.gone == ["b"]
    world.begin("e")
    assert world.gone == ["b", "c"]
    world.pass_time(31)
    assert world.gone == ["b", "c", "a", "d", "e"]


def test_no_number_of_names_shortens_the_linger_of_a_channel_with_messages(world: World) -> None:
    """Also of one that got its first message while it lingered."""
    world.begin("old", offset=5)
    young = world.begin("young")
    young.last = Position(1, 8)
    for number in range(100):
        world.begin(str(number))
    assert world.gone == [str(number) for number in range(97)]
    world.pass_time(29.5)
    assert not {"old", "young"} & set(world.gone)
    world.pass_time(1.0)
    assert {"old", "young"} <= set(world.gone)


def test_many_are_let_go_of_in_turns(world: World) -> None:
    """Between two calls the event loop may do something else."""
    most = 3 * CHANNELS_PER_TURN
    world.lingering = Lingering(world.clock, 30.0, most, lambda channel: world.gone.append(channel.name))
    for number in range(most):
        world.begin(str(number))
    world.clock.now += 31
    assert world.lingering.advance(world.clock.now)
    assert len(world.gone) == CHANNELS_PER_TURN


def test_a_channel_may_linger_once_more(world: World) -> None:
    """Its time begins anew."""
    channel = world.begin("room")
    world.pass_time(20)
    world.lingering.go_on(channel)
    world.lingering._unused.clear()
    world.pass_time(29)
    assert world.gone == []
    world.pass_time(2)
    assert world.gone == ["room"]
