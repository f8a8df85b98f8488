"""Orders on an internal port: from this machine, or with a key of an operator."""

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from common.access.keys import KeyRing, read_admin_keys
from common.errors import RequestError
from common.service.admin import AdminServer
from common.service.http import json_answer
from common.service.operators import require_operator

KEY, READER = "k3y-of-the-operators", "k3y-that-only-reads"
NO_KEYS = KeyRing()
KEYS = KeyRing("COMET_ADMIN_KEYS", read_admin_keys([f"ops:{KEY}", f"dashboard:{READER}:read"]))


async def obey(request: web.Request) -> web.Response:
    """Carry out an order."""
    return json_answer({"done": True})


async def answer_of(keys: KeyRing, method: str, path: str, key: str = "") -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of a request to an internal port with these keys."""
    routes, middlewares = [web.post("/drain", obey)], [require_operator(keys)]
    admin = AdminServer("127.0.0.1", 0, "PORT", list, CollectorRegistry(), routes, middlewares=middlewares)
    await admin.start()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with (
            ClientSession(headers=headers) as session,
            session.request(method, f"http://127.0.0.1:{admin.port}{path}") as answer,
        ):
            return answer.status, dict(answer.headers), await answer.text()
    finally:
        await admin.stop()


async def status_for(keys: KeyRing, method: str, path: str, remote: str, key: str = "") -> tuple[int, str]:
    """Return the status, and the sentence of an error, of a request from an address."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = make_mocked_request(method, path, headers=headers).clone(remote=remote)
    try:
        answer = await require_operator(keys)(request, obey)
    except RequestError as error:
        return error.status, error.sentence
    return answer.status, ""


async def test_without_keys_this_machine_gives_orders() -> None:
    """As ever; a key that is sent all the same does no harm."""
    assert (await answer_of(NO_KEYS, "POST", "/drain"))[0] == 200
    assert (await answer_of(NO_KEYS, "POST", "/drain", key="whatever"))[0] == 200


@pytest.mark.parametrize("remote", ["192.0.2.7", "::ffff:192.0.2.7", "fd00::2", "fe80::1%eth0", "unknown", ""])
async def test_without_keys_other_machines_give_none(remote: str) -> None:
    """They may read; the sentence says what to do, whatever the path is."""
    for path in ("/drain", "/nowhere"):
        status, sentence = await status_for(NO_KEYS, "POST", path, remote)
        assert (status, "COMET_ADMIN_KEYS" in sentence) == (403, True)
    assert await status_for(NO_KEYS, "GET", "/metrics", remote) == (200, "")
    assert await status_for(KEYS, "POST", "/drain", remote, KEY) == (200, "")


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_every_loopback_address_is_this_machine(remote: str) -> None:
    """Also where one socket takes both families."""
    assert await status_for(NO_KEYS, "POST", "/drain", remote) == (200, "")


async def test_with_keys_an_order_needs_one() -> None:
    """From this machine, too: a page in a browser is on it."""
    for key in ("", "wrong-wrong-wrong"):
        status, headers, text = await answer_of(KEYS, "POST", "/drain", key=key)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="comet"')
        assert KEY not in text
    assert (await answer_of(KEYS, "POST", "/drain", key=KEY))[0] == 200


async def test_a_key_that_only_reads_gives_none() -> None:
    """It is told so."""
    status, _, text = await answer_of(KEYS, "POST", "/drain", key=READER)
    assert (status, "the key 'dashboard' may only read" in text) == (403, True)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_reading_needs_no_key(path: str) -> None:
    """Health checks and Prometheus send none."""
    assert (await answer_of(KEYS, "GET", path))[0] == 200


async def test_a_wrong_method_is_told_to_operators_only() -> None:
    """As any order, it is looked at behind the key."""
    assert (await answer_of(KEYS, "POST", "/healthz"))[0] == 401
    assert (await answer_of(KEYS, "POST", "/healthz", key=KEY))[0] == 405
