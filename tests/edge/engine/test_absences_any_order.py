"""Absences in any order of what clients and strangers do: the numbers are exact, or never too small."""

from hypothesis import given
from hypothesis import strategies as st

from common.position import START
from tests.edge.polling_clients import NAMES, HonestClient, World
from tests.edge.usual_log import at

Steps = list[tuple[int, int, int]]
STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(0, 3)), max_size=60)


@given(STEPS)
def test_clients_that_go_on_from_where_they_stand_are_counted_exactly(steps: Steps) -> None:
    """Whatever the order: those that have come, as long as nobody is overdue."""
    world = World()
    clients: dict[int, HonestClient] = {}
    for what, which, _ in steps:
        world.pass_time(0.45)
        if what == 0:
            world.publish("ab"[which % 2])
            continue
        if which not in clients:
            clients[which] = HonestClient(world, which)
        clients[which].step(reconnects=what == 1)
        for name in "ab":
            assert world.counted(name) == sum(name in each.names for each in clients.values())


@given(STEPS)
def test_whatever_strangers_do_nobody_counts_as_gone(steps: Steps) -> None:
    """They know every position and make up sessions; a channel never has fewer subscribers than honest clients."""
    world = World()
    clients = [HonestClient(world, number) for number in range(4)]
    for client in clients:
        client.step(reconnects=False)
    strangers = {number: world.connect() for number in range(4)}
    for what, which, how in steps:
        world.pass_time(0.45)
        seat = strangers.get(which)
        if seat is None:
            clients[which % 4].step(reconnects=how == 0)
        elif what == 0:
            world.close(seat)
            strangers[which] = world.connect()
        elif seat.channels:
            world.answer(seat)
        else:
            since = [None, START, at(0), at(5)][how]
            world.poll(seat, *NAMES[what - 1], since=since, session=f"stranger-{how:016}" if how > 1 else "")
        if what == 3:
            world.publish("ab"[how % 2])
        for name in "ab":
            assert world.counted(name) >= sum(name in client.names for client in clients)


@given(STEPS)
def test_a_stranger_that_comes_and_goes_leaves_no_trace(steps: Steps) -> None:
    """If it was not answered, the number is the same as before."""
    world = World()
    clients = [HonestClient(world, number) for number in range(8)]
    for what, which, how in steps:
        world.pass_time(0.45)
        clients[which].step(reconnects=what == 1)
        before = [world.counted(name) for name in "ab"]
        stranger = world.connect()
        world.poll(stranger, *NAMES[how], since=[None, START, at(0), at(5)][what % 4])
        world.close(stranger)
        assert [world.counted(name) for name in "ab"] == before
