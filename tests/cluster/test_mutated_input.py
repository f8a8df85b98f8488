"""Fifty thousand mutated requests and frames on real connections: no answer is another's, nothing fails, nothing stays.

The inputs are the same each time; `tests/fuzz/` looks for new ones.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from common.names import RedisNames
from tests.cluster.clients import poll
from tests.cluster.mutating import Conversation, Crowd, conversations, cursors, listed
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.test_not_redis import lines_of_errors
from tests.cluster.waiting import until

pytestmark = pytest.mark.system  # it takes half a minute

SEED = 15
COUNT = 50_000
MESSAGES = 5
CONTENTS = {"kitchen-7f3a9c": "marzipan", "terrace-51d2e8": "liquorice"}  # no mutation makes one name of the other
CLOSE_CODES = {0, *range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}  # what a client chose comes back
REFUSED = {100, 101, 200, 204, 400, 404, 405, 408, 411, 413, 414, 426, 429, 431, 505}


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster with one edge, whose two channels have contents that are known."""
    with running(Cluster(tmp_path_factory.mktemp("cluster"), edges="a")) as cluster:
        for channel, content in CONTENTS.items():
            for number in range(MESSAGES):
                cluster.publish(channel, f"{content} {number}")
            with cluster.valkey.client() as redis:
                redis.set(RedisNames("comet:").name_list(listed(channel).digest), listed(channel).text)
        yield cluster


@pytest.mark.timeout(120)
def test_mutated_requests_and_frames_do_no_harm(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    """Each is answered as it deserves, and with its own channel's messages; the log has no line of level error."""
    record_property("seed", SEED)
    own: dict[str, int] = dict.fromkeys(CONTENTS, 0)

    def look(one: Conversation) -> None:
        for channel, content in CONTENTS.items():
            found = one.received.count(content.encode())
            assert channel == one.channel or not found, (one.data, one.received)
            own[channel] += found

    for channel in CONTENTS:
        for cursor in cursors(channel):
            assert len(poll(cluster.a.port, channel, since=cursor, timeout="0")["messages"]) == MESSAGES
    began = time.monotonic()
    crowd = Crowd(cluster.a.port, look)
    crowd.have(conversations(SEED, tuple(CONTENTS), COUNT))
    record_property("seconds", round(time.monotonic() - began, 1))
    record_property("answers", dict(sorted(crowd.statuses.items())))
    assert crowd.count >= COUNT
    assert crowd.statuses.keys() <= REFUSED, crowd.statuses
    assert crowd.codes.keys() <= CLOSE_CODES, crowd.codes
    assert min(crowd.statuses[200], crowd.statuses[400], crowd.codes[1002], crowd.codes[1007]) > 500, crowd.statuses
    assert min(own.values()) > 1000, "hardly any history was sent: the test proves little"
    until(lambda: cluster.a.ready)
    for service in cluster.services:
        assert lines_of_errors(service.whole_log) == []
    for channel, content in CONTENTS.items():
        contents = [one["content"] for one in poll(cluster.a.port, channel, since="0")["messages"]]
        assert contents == [f"{content} {number}" for number in range(MESSAGES)]
