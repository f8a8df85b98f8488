"""Keys on real processes: who may publish where, who gives orders, and that no key is shown anywhere."""

import http.client
import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.cluster.clients import HOST, Answer, Connection, StreamClient, get
from tests.cluster.processes import Cluster, Service
from tests.cluster.running import running
from tests.cluster.waiting import STARTING, until

pytestmark = pytest.mark.system

ALL, SHOP, OPS, READER = (
    "k3y-for-all-channels",
    "k3y-of-the-shop-backend",
    "k3y-of-the-operators",
    "k3y-that-only-reads",
)
SECRETS = (ALL, SHOP, OPS, READER)
KEYS = {
    "COMET_PUBLISH_KEYS": f"{ALL},shop:{SHOP}:order:* stock",
    "COMET_ADMIN_KEYS": f"ops:{OPS},dashboard:{READER}:read",
}
MUTATED = 3_000
CHARACTERS = "abcXYZ019-._~+/= :,*%\xe4"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster that wants keys of everybody."""
    with running(Cluster(tmp_path_factory.mktemp("guarded"), edges="a", **KEYS)) as cluster:
        yield cluster


def ask(port: int, method: str, target: str, key: str = "", body: object = None) -> Answer:
    """Send one request, with a key or without, and read the whole answer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if body is not None:
        headers["Content-Type"] = "application/json"
    with closing(http.client.HTTPConnection(HOST, port, timeout=8)) as connection:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read().decode())


def test_a_key_reaches_its_channels_and_no_others(guarded: Cluster) -> None:
    """A subscriber of each hears what was let through, and of an array only its part."""
    port = guarded.publisher.port
    with StreamClient(guarded.a.port, "stock") as stock, StreamClient(guarded.a.port, "room") as room:
        assert ask(port, "GET", "/pub?id=stock&content=one", SHOP).text == "ok\n"
        assert ask(port, "GET", "/pub?id=room&content=no", SHOP).status == 403
        array = [{"id": channel, "content": "two"} for channel in ("room", "stock")]
        refused, sent = ask(port, "POST", "/pub", SHOP, array).json
        sentence = "id: the key 'shop' is not for the channel 'room'"
        assert (refused, "seq" in sent) == ({"type": "error", "code": 403, "content": sentence}, True)
        assert ask(port, "POST", "/pub", ALL, {"id": "room", "content": "three"}).status == 200
        assert [stock.receive(), stock.receive(), room.receive()] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("key", "statuses"),
    [
        ("", (401, 401, 401, 401, 401)),
        ("wrong-wrong-wrong", (401, 401, 401, 401, 401)),
        (SHOP, (403, 403, 403, 404, 401)),
        (ALL, (403, 403, 403, 404, 401)),
        (READER, (403, 403, 200, 403, 403)),
        (OPS, (200, 200, 200, 403, 202)),
    ],
)
def test_operators_have_keys_of_their_own(guarded: Cluster, key: str, statuses: tuple[int, ...]) -> None:
    """For close, broadcast and the dashboard, and for orders on the internal port of each process."""
    port = guarded.publisher.port
    assert (
        ask(port, "POST", "/close?id=nobody", key).status,
        ask(port, "POST", "/broadcast?content=x", key).status,
        ask(port, "GET", "/admin/edges", key).status,
        ask(port, "GET", "/pub?id=stock&content=x", key).status,
        ask(guarded.a.admin_port, "POST", "/drain?to=1000", key).status,
    ) == statuses
    refused = ask(guarded.publisher.admin_port, "POST", "/drain?x=1", key).status
    assert refused == (400 if key == OPS else statuses[-1])


def test_what_has_no_data_needs_no_key(guarded: Cluster) -> None:
    """The page that asks for a key, health, readiness and metrics."""
    assert ask(guarded.publisher.port, "GET", "/admin").status == 200
    for service in guarded.services:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert get(service.admin_port, path).status == 200


def test_no_mutated_key_is_let_in(guarded: Cluster) -> None:
    """Whatever is changed in one: 401, or 400 if the header is none; each connection goes on."""
    source = random.Random(17)
    http_connection = http.client.HTTPConnection(HOST, guarded.publisher.port, timeout=8)
    statuses: set[int] = set()
    with closing(http_connection):
        for _ in range(MUTATED):
            key = list(SHOP)
            for _ in range(source.randint(1, 3)):
                key[source.randrange(len(key))] = source.choice(CHARACTERS) * source.randint(0, 2)
            given = "".join(key)
            if given.strip() == SHOP:
                continue
            http_connection.request("POST", "/close?id=x", headers={"Authorization": f"Bearer {given}"})
            response = http_connection.getresponse()
            response.read()
            statuses.add(response.status)
    assert statuses == {401}


def test_each_use_is_counted_by_name_and_no_key_is_shown(guarded: Cluster) -> None:
    """Neither in a log, nor in metrics, nor in what the dashboard reads; orders are logged with the name."""
    port = guarded.publisher.port
    before = guarded.publisher.metric('comet_key_uses_total{key="shop"}')
    for key in SECRETS:
        ask(port, "GET", "/pub?id=stock&content=x", key)
        ask(port, "POST", "/close?id=of-the-test", key)
        ask(port, "POST", "/broadcast?content=x", key)
    assert guarded.publisher.metric('comet_key_uses_total{key="shop"}') == before + 3
    assert guarded.a.metric('comet_key_uses_total{key="dashboard"}') >= 0
    told = [json.loads(line) for line in guarded.publisher.whole_log.splitlines() if '"of-the-test"' in line]
    assert [(line["event"], line["key"]) for line in told] == [("closing the connections of a channel", "ops")]
    shown = [service.whole_log for service in guarded.services]
    shown += [get(service.admin_port, path).text for service in guarded.services for path in ("/metrics", "/readyz")]
    shown += [ask(port, "GET", path, OPS).text for path in ("/admin/edges", "/info", "/admin", "/nowhere")]
    shown += [ask(port, "POST", "/broadcast", key, {"contents": 1}).text for key in SECRETS]
    assert [secret for secret in SECRETS if any(secret in text for text in shown)] == []


def test_a_page_can_ask_with_a_key_in_a_header_only(guarded: Cluster) -> None:
    """A key in the URL is none: it would be in the logs of proxies."""
    assert ask(guarded.publisher.port, "GET", f"/pub?id=stock&content=x&key={ALL}").status == 401
    with pytest.raises(OSError, match="401"):
        urlopen(f"{guarded.publisher.url}/info?access_token={ALL}", timeout=8)


def test_a_rate_is_of_each_key(tmp_path: Path) -> None:
    """An array is taken and paid for; then 429, with Retry-After, for this key and not for the other."""
    with running(Cluster(tmp_path, edges="", COMET_PUBLISH_RATE="5", **KEYS)) as cluster:
        array: Any = [{"id": "stock", "content": str(number)} for number in range(50)]
        assert len(ask(cluster.publisher.port, "POST", "/pub", SHOP, array).json) == 50
        answer = ask(cluster.publisher.port, "POST", "/pub", SHOP, array[0])
        assert (answer.status, 8 <= int(answer.headers["Retry-After"]) <= 10) == (429, True)
        assert ask(cluster.publisher.port, "POST", "/pub", ALL, array[0]).status == 200


def test_without_keys_all_is_as_ever(tmp_path: Path) -> None:
    """On loopback everybody may do everything, internal ports included; the publisher says so in one line."""
    with running(Cluster(tmp_path, edges="a")) as cluster:
        assert ask(cluster.publisher.port, "GET", "/pub?id=room&content=x").status == 404
        assert ask(cluster.publisher.port, "POST", "/close?id=room").status == 200
        assert ask(cluster.publisher.port, "GET", "/info", "whatever").status == 200
        with Connection(cluster.a.admin_port) as admin:
            assert admin.post("/drain?to=10", "").status == 202
        told = [line for line in cluster.publisher.whole_log.splitlines() if "COMET_PUBLISH_KEYS" in line]
        assert len(told) == 1


def publisher_on(folder: Path, host: str, **settings: str) -> Service:
    """Return a publisher that is to listen on other addresses than loopback; it does not find a Redis."""
    return Service("publisher", "publisher", "redis://127.0.0.1:1", {"COMET_PUBLISHER_HOST": host} | settings, folder)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_keys_it_does_not_listen_for_others(tmp_path: Path, host: str) -> None:
    """One line names what to set, and the exit code is that of a setting."""
    publisher = publisher_on(tmp_path, host, COMET_ADMIN_KEYS=KEYS["COMET_ADMIN_KEYS"])
    publisher.start()
    assert publisher.ended(STARTING) == 2
    assert publisher.whole_log == (
        f"comet publisher: COMET_PUBLISHER_HOST={host}: others than this machine would publish without a key; set "
        "COMET_PUBLISH_KEYS, or COMET_OPEN_PUBLISHER=1 if they may\n"
    )


@pytest.mark.parametrize("settings", [{"COMET_OPEN_PUBLISHER": "1"}, {"COMET_PUBLISH_KEYS": ALL}], ids=["open", "keys"])
def test_with_keys_or_if_told_so_it_listens_for_others(tmp_path: Path, settings: dict[str, str]) -> None:
    """As it did before."""
    publisher = publisher_on(tmp_path, "0.0.0.0", **settings)
    publisher.start()
    try:
        until(lambda: publisher.status("/healthz") == 200, STARTING)
        assert ask(publisher.port, "GET", "/admin").status == 200
    finally:
        publisher.stop()


@pytest.mark.parametrize("variable", ["COMET_PUBLISH_KEYS", "COMET_ADMIN_KEYS"])
def test_a_faulty_entry_stops_the_process_and_is_not_shown(tmp_path: Path, variable: str) -> None:
    """One line, with the place of the entry."""
    publisher = publisher_on(tmp_path, HOST, **{variable: f"a:{ALL},b:{ALL}"})
    publisher.start()
    assert publisher.ended(STARTING) == 2
    line = f"comet publisher: {variable}=(not shown): entry 2 has the same key as one before it; each needs its own\n"
    assert publisher.whole_log == line
