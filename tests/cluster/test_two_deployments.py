"""Two deployments on one Redis whose names overlap: `comet:` and `comet:staging:`, or one prefix in two databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import ResponseError

from tests.cluster.clients import Connection, RefusedError, SseClient, StreamClient, get
from tests.cluster.processes import Cluster
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until

pytestmark = pytest.mark.system  # with its clusters it takes many seconds

OWNER = "belongs to another deployment on this Redis, whose COMET_PREFIX is 'comet:staging:'"


class Both(NamedTuple):
    """Two deployments; staging is purely live, and so has no Redis Function."""

    production: Cluster
    staging: Cluster


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Run both, until production has noticed staging."""
    folder = tmp_path_factory.mktemp("staging")
    with running(Cluster(tmp_path_factory.mktemp("production"), edges="ab")) as production:
        settings = {"COMET_PREFIX": "comet:staging:", "COMET_HISTORY_SIZE": "0"}
        staging = Cluster(folder, edges="a", valkey=production.valkey, **settings)
        try:
            staging.start_services()
            staging.wait_ready()
            for service in production.services:
                until(lambda service=service: "none should begin like another" in service.log, STARTING)  # type: ignore[misc]
            yield Both(production, staging)
        finally:
            for service in staging.services:
                service.stop()


def test_both_say_so_and_both_serve(both: Both) -> None:
    """One warning on each process names the other prefix; neither stops, and each has its own channels."""
    for cluster, other in ((both.production, "comet:staging:"), (both.staging, "comet:")):
        for service in cluster.services:
            assert service.ready
            warnings = [line for line in service.whole_log.splitlines() if "none should begin like another" in line]
            assert len(warnings) == 1
            assert f'"other": "{other}"' in warnings[0]
    staging, production = both.staging, both.production
    with StreamClient(staging.a.port, "room") as theirs, StreamClient(production.a.port, "room") as ours:
        assert (staging.publish("room", "1").text, production.publish("room", "2").text) == ("ok\n", "ok\n")
        assert (theirs.receive(), ours.receive()) == ("1", "2")


def test_nothing_is_published_into_the_other_deployment(both: Both) -> None:
    """It was delivered to staging's subscribers, and stored in its history."""
    publisher = both.production.publisher.port
    with StreamClient(both.staging.a.port, "room") as theirs, Connection(publisher) as connection:
        refused = get(publisher, "/pub", id="staging:room", content="leak")
        assert (refused.status, OWNER in refused.text) == (403, True)
        refused = connection.post("/pub", {"id": "staging:room", "content": "leak"})
        assert (refused.status, refused.json["code"], OWNER in refused.json["content"]) == (403, 403, True)
        items = [{"id": name, "content": "x"} for name in ("one", "staging:room", "two")]
        first, error, last = connection.post("/pub", items).json
        assert (first["edges"], error["code"], last["edges"]) == (0, 403, 0)
        answers = connection.post("/pub", {"ids": ["one", "staging:room"], "content": "x"}).json
        assert [answer.get("code") for answer in answers] == [None, 403]  # type: ignore[attr-defined]
        assert get(publisher, "/admin/tail", id="staging:room").status == 403
        assert both.staging.publish("room", "own").text == "ok\n"
        assert theirs.receive() == "own"


def test_nothing_of_the_other_deployment_is_read(both: Both) -> None:
    """On every transport, for all channels of a request; the page may read why."""
    port = both.production.a.port
    for client in (StreamClient(port, "room", "staging:room"), SseClient(port, "staging:room")):
        with pytest.raises(RefusedError, match=OWNER) as caught, client:
            pass
        assert caught.value.status == 403
    answer = get(port, "/poll", id="staging:x")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (403, "*")


def test_a_change_of_channels_is_refused_too(both: Both) -> None:
    """By a POST on any edge; the other operations of it are done, and the subscriber stays."""
    a, b = both.production.a.port, both.production.b.port
    with StreamClient(a, "room") as subscriber, Connection(b) as connection:
        session = subscriber.welcomes[0]["session"]
        operations = [{"op": "sub", "id": name, "ref": name} for name in ("staging:room", "more")]
        assert connection.post(f"/sub/{session}", operations).json["channels"] == ["room", "more"]
        objects = [subscriber.next_object() for _ in range(2)]
        refusal = next(each for each in objects if each["type"] == "error")
        assert (refusal["code"], refusal["op"], refusal["ref"]) == (403, "sub", "staging:room")
        assert OWNER in refusal["content"]


def test_a_change_of_a_poll_is_refused_too(both: Both) -> None:
    """The poll is answered with the refusal, and keeps its channel."""
    port, session = both.production.a.port, "0123456789abcdef"
    with Connection(port) as poll, Connection(port) as connection:
        poll.ask("/poll", {"id": "room", "session": session, "timeout": "20"})
        operations = [{"op": "sub", "id": "staging:room"}]
        until(lambda: connection.post(f"/sub/{session}", operations).status == 200)
        (refusal,) = poll.answer().json["messages"]
        assert (refusal["type"], refusal["code"], OWNER in refusal["content"]) == ("error", 403, True)


def test_the_function_refuses_the_channel(both: Both) -> None:
    """It stored the message as production's, and staging's subscribers got a position that they cannot have."""

    def is_refused() -> bool:
        with both.production.valkey.client() as redis:
            try:
                redis.fcall("comet_publish", 1, "comet:staging:room", "leak")  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return "belongs to another deployment, of the prefix comet:staging:" in str(error)
            return False

    until(is_refused)


def test_the_same_prefix_in_two_databases_is_a_warning(tmp_path: Path) -> None:
    """Of both; /close and what is not stored would reach both."""
    with running(Cluster(tmp_path, edges="a")) as first:
        url = f"{first.valkey.url}/1"
        second = Cluster(tmp_path / "second", edges="", valkey=first.valkey, publisher_redis=url)
        (tmp_path / "second").mkdir()
        try:
            second.start_services()
            second.wait_ready()
            for service, number in ((second.publisher, 0), (first.a, 1), (first.publisher, 1)):
                until(lambda service=service: "a deployment of the same prefix" in service.log, STARTING)  # type: ignore[misc]
                assert f'"database": {number}' in service.log
        finally:
            second.publisher.stop()
