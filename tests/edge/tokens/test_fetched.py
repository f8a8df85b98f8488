"""Keys that are fetched: from one address, in the background, in time, and with a bound."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from common.errors import UnavailableError
from edge.tokens.fetched import DocumentAt, FetchedKeys, Pauses
from edge.tokens.grant import TokenError
from edge.tokens.verifier import Verifier
from tests.edge.real_edges import until
from tests.edge.tokens.making import CLAIMS, NOW, jwk, jwks, private_key, token

ONE, TWO = jwks(jwk("P-256", kid="one")), jwks(jwk("P-384", kid="two"))
QUICK = Pauses(usual=0.01, after_failure=0.01, at_least=0, at_start=0.01)
SELDOM = Pauses(usual=3600, after_failure=3600, at_least=0, at_start=3600)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Login:
    """A service whose JWKS a test changes."""

    def __init__(self, document: bytes | Exception) -> None:
        self.document = document
        self.fetches = 0

    async def fetch(self) -> bytes:
        self.fetches += 1
        if isinstance(self.document, Exception):
            raise self.document
        return self.document


@asynccontextmanager
async def fetching(login: Login, pauses: Pauses = QUICK) -> AsyncIterator[FetchedKeys]:
    """Fetch while the block runs."""
    keys = FetchedKeys("https://login.example/jwks?x=hidden", login.fetch, pauses)
    keys.start()
    try:
        yield keys
    finally:
        await keys.close()


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[DocumentAt]:
    """Run a server whose answer is this one."""
    app = web.Application()
    app.router.add_get("/jwks", answer)
    async with TestServer(app) as server:
        yield DocumentAt(str(server.make_url("/jwks")))


def ids(keys: FetchedKeys) -> list[str]:
    """Return which keys are good now; none before the first fetch."""
    try:
        return [key.key_id for key in keys.current().keys]
    except UnavailableError:
        return []


async def has(keys: FetchedKeys, *wanted: str) -> None:
    """Wait until these keys are good."""
    await until(lambda: ids(keys) == list(wanted))


async def test_keys_are_fetched_in_the_background() -> None:
    """Until then nobody waits, and nobody is let in."""
    login = Login(ONE)
    async with fetching(login, SELDOM) as keys:
        assert ids(keys) == []
        await has(keys, "one")
    assert login.fetches == 1


async def test_keys_that_stay_are_the_same_set() -> None:
    """What was checked with them stays known; a new document is a new set."""
    login = Login(ONE)
    async with fetching(login) as keys:
        await has(keys, "one")
        before, count = keys.current(), login.fetches
        await until(lambda: login.fetches > count + 3)
        assert keys.current() is before
        login.document = TWO
        await has(keys, "two")


async def test_a_key_that_is_lost_is_not_taken_any_more() -> None:
    """Also the last one."""
    login = Login(ONE)
    async with fetching(login) as keys:
        await has(keys, "one")
        last = keys.current()
        login.document = b'{"keys": []}'
        await until(lambda: keys.current() is not last)
        assert ids(keys) == []


@pytest.mark.parametrize(
    "fault", [ValueError("the answer has the status 500, not 200"), TimeoutError(), OSError("away"), b"<html>", b"[]"]
)
async def test_a_fetch_that_fails_leaves_the_keys_as_they_are(fault: bytes | Exception) -> None:
    """One line says so, and one that it works again; neither has more of the address than its host."""
    login = Login(ONE)
    with capture_logs() as lines:
        async with fetching(login) as keys:
            await has(keys, "one")
            login.document, count = fault, login.fetches
            await until(lambda: login.fetches > count + 3)
            assert ids(keys) == ["one"]
            login.document, count = ONE, login.fetches
            await until(lambda: login.fetches > count + 3)
    assert [line["event"] for line in lines] == [
        "the keys of tokens are here",
        "the keys of tokens cannot be fetched; the old ones stay",
        "the keys of tokens are fetched again",
    ]
    assert "hidden" not in str(lines)


async def test_without_any_key_one_line_says_so() -> None:
    """They are asked for again, soon."""
    login = Login(TimeoutError())
    with capture_logs() as lines:
        async with fetching(login) as keys:
            await until(lambda: login.fetches > 3)
            login.document = ONE
            await has(keys, "one")
    assert lines[0]["event"] == "the keys of tokens cannot be fetched; no token can be checked"
    assert lines[0]["error"] == "no answer within 5 s"
    assert len(lines) == 3


async def test_an_unknown_key_is_looked_for_soon() -> None:
    """Before the usual time."""
    login = Login(ONE)
    async with fetching(login, SELDOM) as keys:
        await has(keys, "one")
        login.document = TWO
        keys.look_again()
        await has(keys, "two")
    assert login.fetches == 2


async def test_a_token_by_a_new_key_is_good_after_the_next_fetch() -> None:
    """Its first request is refused, not kept waiting; one by the old key is refused once that is gone."""
    login = Login(ONE)
    old = token(CLAIMS, private_key("P-256"), "ES256", kid="one")
    new = token(CLAIMS, private_key("P-384"), "ES384", kid="two")
    async with fetching(login, SELDOM) as keys:
        verifier = Verifier(keys, audience="", issuer="", leeway=5, requires_expiry=True, now=lambda: NOW)
        with pytest.raises(UnavailableError):
            verifier.verify(old)
        await has(keys, "one")
        assert verifier.verify(old).user == "bob"
        login.document = TWO
        with pytest.raises(TokenError, match="no key of COMET_TOKEN_KEY has the kid in its header"):
            verifier.verify(new)
        await has(keys, "two")
        assert verifier.verify(new).user == "bob"
        with pytest.raises(TokenError, match="no key of COMET_TOKEN_KEY has the kid in its header"):
            verifier.verify(old)


async def test_but_not_as_often_as_strangers_wish() -> None:
    """Each token may name another one."""
    login = Login(ONE)
    async with fetching(login, Pauses(usual=3600, after_failure=3600, at_least=3600, at_start=3600)) as keys:
        await has(keys, "one")
        for _ in range(1000):
            keys.look_again()
            await asyncio.sleep(0)
    assert login.fetches == 1


async def test_keys_of_no_use_are_told_of_once() -> None:
    """Login services publish keys for encryption beside the others."""
    login = Login(jwks(jwk("2048", use="enc"), jwk("P-256", kid="one")))
    with capture_logs() as lines:
        async with fetching(login) as keys:
            await has(keys, "one")
            await until(lambda: login.fetches > 3)
    assert [line["left_out"] for line in lines] == [["a key of the JWKS is not for signatures"]]


async def test_a_document_comes_by_http() -> None:
    """As it is."""

    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=ONE)

    async with answering(answer) as document:
        assert await document() == ONE


@pytest.mark.parametrize("status", [201, 302, 404, 500])
async def test_another_status_is_a_failure(status: int) -> None:
    """Another address is not followed."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, body=ONE, headers={"Location": "/elsewhere"})

    async with answering(answer) as document:
        with pytest.raises(ValueError, match=f"the answer has the status {status}, not 200"):
            await document()


async def test_an_answer_that_does_not_end_is_cut() -> None:
    """One of a gigabyte costs a megabyte."""
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(16_384):
            await response.write(b" " * 65_536)
            sent += 65_536
        return response

    async with answering(answer) as document:
        with pytest.raises(ValueError, match="the answer has more than 1048576 bytes"):
            await document()
    assert sent < 2**27


async def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it has to come in five seconds."""
    monkeypatch.setattr("edge.tokens.fetched.FETCH_SECONDS", 0.05)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with answering(answer) as document:
        with pytest.raises(TimeoutError):
            await document()


async def test_what_is_compressed_is_not_inflated() -> None:
    """A small answer does not become a large one."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b not inflated", headers={"Content-Encoding": "gzip"})

    async with answering(answer) as document:
        assert await document() == b"\x1f\x8b not inflated"
