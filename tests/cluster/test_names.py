"""Names that strangers make up cost nothing that lasts: neither keys nor memory, nor anybody's messages."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from redis import Redis

from tests.cluster.bystander import until_enough, watching
from tests.cluster.clients import HOST, StreamClient, get, poll
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import until
from tests.faults.numbers import Record

pytestmark = pytest.mark.system  # it takes half a minute, and more on a machine with other work

LINGER = 2
MOST = 1000  # channels without messages that may linger
NAMES_PER_REQUEST = 128
NAMES = 20_000
MANY_NAMES = 200_000
FILES = 20_000  # with so few, 20,000 names may linger by default
MB = 1_048_576
FULL_AT = 32 * MB


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster with a Valkey of 32 MB, whose edges let few names linger, and not for long."""
    settings = {"COMET_LINGER": str(LINGER), "COMET_MAX_LINGERING": str(MOST)}
    options = ("--maxmemory", "32mb", "--maxmemory-policy", "noeviction")
    with running(Cluster(tmp_path_factory.mktemp("cluster"), valkey_options=options, **settings)) as cluster:
        yield cluster


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a cluster with a Valkey of 32 MB, whose edge lets as many names linger as by default."""
    options = ("--maxmemory", str(FULL_AT), "--maxmemory-policy", "noeviction")
    cluster = Cluster(tmp_path, edges="a", valkey_options=options, COMET_LINGER="5")
    cluster.a.limit_open_files(FILES)
    with running(cluster):
        yield cluster


@pytest.fixture
def redis(cluster: Cluster) -> Iterator[Redis]:
    """Yield a client of the cluster's Valkey."""
    with cluster.valkey.client() as client:
        yield client


def ask_for_names(edge: Service, prefix: str, count: int) -> Iterator[int]:
    """Poll names that nobody has used, once each, many in a request; yield the status of each answer."""
    with closing(HTTPConnection(HOST, edge.port, timeout=10)) as connection:
        for start in range(0, count, NAMES_PER_REQUEST):
            names = [("id", f"{prefix}{number}") for number in range(start, min(start + NAMES_PER_REQUEST, count))]
            connection.request("GET", f"/poll?{urlencode([*names, ('timeout', '0')])}")
            response = connection.getresponse()
            response.read()
            yield response.status


def resident_bytes(edge: Service) -> int:
    """Return how much memory an edge has; Linux only."""
    assert edge._process is not None
    return int(Path(f"/proc/{edge._process.pid}/statm").read_text().split()[1]) * 4096


def test_names_leave_nothing_behind(cluster: Cluster, redis: Redis) -> None:
    """Meanwhile there are never more than may linger; after the linger Redis has the keys of before."""
    statuses = set(ask_for_names(cluster.a, "warm-", 2 * MOST))
    until(lambda: cluster.a.metric("comet_channels") == 0, LINGER + 3)
    until(lambda: not redis.keys("*warm-*"), LINGER + 3)  # the edge asks for the last keys after it let go
    before, memory = set(redis.keys()), resident_bytes(cluster.a)
    for number, status in enumerate(ask_for_names(cluster.a, "name-", NAMES)):
        statuses.add(status)
        if number % 20 == 0:
            assert cluster.a.metric("comet_channels") <= MOST + NAMES_PER_REQUEST
    until(lambda: not redis.keys("*name-*"), LINGER + 3)
    assert set(redis.keys()) == before
    assert statuses == {200}
    assert cluster.a.metric("comet_channels") == 0
    assert redis.pubsub_channels("comet:name-*") == []
    assert resident_bytes(cluster.a) - memory < 16 * MB


@pytest.mark.timeout(180)
def test_hundreds_of_thousands_of_names_leave_nothing_behind(roomy: Cluster, record_property: Record) -> None:
    """Twice, at the default limits: publishing goes on, and after the linger Redis and the edge are as before."""
    edge, grown = roomy.a, []
    with roomy.valkey.client() as redis, StreamClient(edge.port, "known"):
        roomy.publish("known", "first")
        before, used, base = set(redis.keys()), used_bytes(redis), edge.memory
        for round_number in range(2):
            with watching(edge) as bystander:
                most_used = publish_while_names_come(roomy, redis, f"name-{round_number}-")
                for _ in until_enough(bystander.polls, bystander.joins):
                    time.sleep(0.1)  # a duration: between two looks
            until(lambda: set(redis.keys()) == before, 5 + 10)
            until(lambda: edge.metric("comet_channels") == 1)
            grown.append(edge.memory - base)
            bystander.note(record_property)
            bystander.assert_undisturbed()
            assert most_used < FULL_AT
            assert used_bytes(redis) - used <= 2 * MB
    record_property("growth of the edge after each round, MiB", [round(size / MB, 1) for size in grown])
    assert max(grown) <= 32 * MB
    assert grown[1] - grown[0] <= 4 * MB


def used_bytes(redis: Redis) -> int:
    """Return how much memory Redis uses."""
    return int(redis.info("memory")["used_memory"])


def publish_while_names_come(cluster: Cluster, redis: Redis, prefix: str) -> int:
    """Ask for many names, and publish to a known channel meanwhile; return how much memory Redis used at most."""
    most_used = 0
    for number, status in enumerate(ask_for_names(cluster.a, prefix, MANY_NAMES)):
        assert status == 200
        if number % 10 == 0:
            assert cluster.publish("known", "more").status == 200
            most_used = max(most_used, used_bytes(redis))
    return most_used


def test_a_stranger_costs_a_poller_no_plain_message(cluster: Cluster, redis: Redis, channel: str) -> None:
    """A channel that carried messages lingers as promised, whatever number of names comes between two polls."""
    cluster.publish(channel, "first")
    seq = poll(cluster.a.port, channel, timeout="0")["seq"]
    assert set(ask_for_names(cluster.a, f"{channel}-", 3 * MOST)) == {200}
    assert redis.publish(f"comet:{channel}", "plain") == 1
    until(lambda: [item["content"] for item in poll(cluster.a.port, channel, since=seq, timeout="0")["messages"]])
    answer = poll(cluster.a.port, channel, since=seq, timeout="0")
    assert [item["content"] for item in answer["messages"]] == ["plain"]


def test_a_position_without_messages_is_worth_a_linger(cluster: Cluster, channel: str) -> None:
    """Within it a client goes on; after it, it is told of a reset."""
    seq = poll(cluster.a.port, channel, timeout="0")["seq"]
    assert poll(cluster.b.port, channel, since=seq, timeout="0") == {"seq": seq, "messages": []}
    time.sleep(LINGER + 3)  # a duration: until nobody has the channel
    (item,) = poll(cluster.b.port, channel, since=seq, timeout="0")["messages"]
    assert item["type"] == "reset"


def test_a_subscriber_keeps_the_position_for_all(cluster: Cluster, redis: Redis, channel: str) -> None:
    """While somebody holds the channel on any edge, it is not let go of."""
    with StreamClient(cluster.b.port, channel) as held:
        seq = poll(cluster.a.port, channel, timeout="0")["seq"]
        time.sleep(LINGER + 2)  # a duration: until the first edge has let go
        assert held.welcomes[0]["seq"] == seq
        assert poll(cluster.a.port, channel, since=seq, timeout="0") == {"seq": seq, "messages": []}
    until(lambda: not redis.exists(f"{{comet:{channel}}}:top"), LINGER + 3)


def test_a_full_redis_takes_no_new_names(cluster: Cluster, redis: Redis, channel: str) -> None:
    """Known channels are read and joined; new ones are refused, and leave nothing; then all is as before."""
    silent, new = f"{channel}-silent", f"{channel}-new"
    cluster.publish(channel, "first")
    with StreamClient(cluster.a.port, channel), StreamClient(cluster.a.port, silent), full(redis):
        keys, used = set(redis.keys()), redis.info("memory")["used_memory"]
        assert cluster.publish(channel, "refused").status == 503
        for known in (channel, silent):
            assert poll(cluster.b.port, known, timeout="0")["messages"] == []
        assert set(ask_for_names(cluster.b, f"{channel}-", 4000)) == {503}
        refused = get(cluster.b.port, "/poll", id=new, timeout="0")
        assert int(refused.headers["retry-after"]) >= 1
        assert "no memory" in refused.json["content"]
        assert set(redis.keys()) <= keys  # those of other tests may still end
        assert redis.info("memory")["used_memory"] - used < MB
    assert cluster.publish(channel, "second").status == 200
    poll(cluster.b.port, new, timeout="0")


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """Let the memory of Redis be full while the block runs."""
    before = redis.config_get("maxmemory")["maxmemory"]
    redis.config_set("maxmemory", 1)
    try:
        yield
    finally:
        redis.config_set("maxmemory", before)
