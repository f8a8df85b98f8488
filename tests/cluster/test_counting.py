"""How many subscribers there are: a client is counted once, and nobody makes another one count as gone."""

from collections.abc import Callable

import pytest

from tests.cluster.clients import Connection, get, poll
from tests.cluster.processes import Cluster
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

Loop = Callable[[int, str], None]

POLLS = 300
HONEST, STRANGE = "the-honest-clients-own-name", "a-stranger-of-this-name"


def told(cluster: Cluster, channel: str) -> int:
    """Return the number of subscribers that the publisher tells."""
    answer = get(cluster.publisher.port, "/info", id=channel).json
    assert answer["silent"] == 0
    return int(answer["subscribers"])


def counted(cluster: Cluster, channel: str) -> int:
    """Return the number of subscribers, which a receipt tells, too; a poll that is held would be answered by this."""
    with Connection(cluster.publisher.port) as publisher:
        receipt = publisher.post("/pub", {"id": channel, "content": "x", "receipt": True, "ephemeral": True}).json
    assert receipt["subscribers"] == told(cluster, channel)
    return int(receipt["subscribers"])


def ask(client: Connection, channel: str, **query: str) -> str:
    """Poll on a connection without waiting for news; return the position that the answer has."""
    client.ask("/poll", {"id": channel, "timeout": "0", **query})
    return str(client.answer().json["seq"])


def loop_on_a_connection(port: int, channel: str) -> None:
    """Poll as a client without a position does."""
    with Connection(port) as client:
        for _ in range(POLLS):
            ask(client, channel)


def loop_with_positions(port: int, channel: str) -> None:
    """Poll on a new connection each time, from where the last answer ended."""
    seq = poll(port, channel, timeout="0")["seq"]
    for _ in range(POLLS):
        seq = poll(port, channel, timeout="0", since=seq)["seq"]


def loop_with_a_session(port: int, channel: str) -> None:
    """Poll on a new connection each time, by a name."""
    for _ in range(POLLS):
        poll(port, channel, timeout="0", session=STRANGE)


def loop_with_many_sessions(port: int, channel: str) -> None:
    """Poll on one connection by a new name each time."""
    with Connection(port) as client:
        for number in range(POLLS):
            ask(client, channel, session=f"{STRANGE}-{number}")


LOOPS = [loop_on_a_connection, loop_with_positions, loop_with_a_session, loop_with_many_sessions]


@pytest.mark.parametrize("loop", LOOPS)
def test_one_client_that_polls_in_a_loop_is_one_subscriber(cluster: Cluster, channel: str, loop: Loop) -> None:
    """For `/info`, for a receipt, and for the short form; before its first poll it is none."""
    assert cluster.publish(channel, "x").status == 404
    loop(cluster.a.port, channel)
    assert counted(cluster, channel) == 1
    assert cluster.publish(channel, "x").text == "ok\n"


def test_one_client_that_polls_two_edges_by_turns_is_one_on_each_at_most(cluster: Cluster, channel: str) -> None:
    """As behind a load balancer that knows nobody: with news in between, and from its position."""
    seq = "0"
    for number in range(60):
        cluster.publish(channel, str(number))
        seq = poll(cluster.edges[number % 2].port, channel, since=seq, timeout="0")["seq"]
    assert counted(cluster, channel) == 2


def test_strangers_with_the_position_of_a_poller_change_nothing(cluster: Cluster, channel: str) -> None:
    """They come, wait for nothing, and go: the one between two polls counts all the time, and as one."""
    with Connection(cluster.a.port) as honest:
        seq = ask(honest, channel)
        for _ in range(5):
            strangers = [Connection(cluster.a.port) for _ in range(8)]
            for stranger in strangers:
                stranger.ask("/poll", {"id": channel, "since": seq})
            until(lambda: told(cluster, channel) == 1 + 8)
            for stranger in strangers:
                stranger.close()
            until(lambda: told(cluster, channel) == 1)
            assert cluster.publish(channel, "x").text == "ok\n"
            seq = ask(honest, channel)
            assert counted(cluster, channel) == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_stranger_that_polls_in_a_loop_makes_nobody_count_as_gone(cluster: Cluster, channel: str, loop: Loop) -> None:
    """It counts as one beside the poller that left before it."""
    with Connection(cluster.a.port) as honest:
        ask(honest, channel)
        loop(cluster.a.port, channel)
        assert counted(cluster, channel) == 2
        ask(honest, channel)
        assert counted(cluster, channel) == 2


def test_a_session_is_one_client_whoever_has_it(cluster: Cluster, channel: str) -> None:
    """A stranger that knows it can neither make the client count as gone nor count beside it."""
    with Connection(cluster.a.port) as honest:
        ask(honest, channel, session=HONEST)
        for _ in range(20):
            with Connection(cluster.a.port) as stranger:
                ask(stranger, channel, session=HONEST)
                stranger.ask("/poll", {"id": channel, "session": HONEST})
                until(lambda: cluster.a.metric('comet_connections{transport="poll"}') == 1)
                assert told(cluster, channel) == 1
            until(lambda: cluster.a.metric('comet_connections{transport="poll"}') == 0)
            assert counted(cluster, channel) == 1
        ask(honest, channel, session=HONEST)
        assert counted(cluster, channel) == 1
