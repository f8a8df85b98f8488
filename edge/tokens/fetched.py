"""Keys that are fetched from the address of a JWKS, in the background: no request ever waits for them.

The address is the operator's; nothing in a token leads to a fetch elsewhere. A fetch that fails leaves the keys as they
are; a good one replaces them, so that a key which is not in the document any more is not taken any more.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from common.errors import UnavailableError
from common.logs import get_logger
from common.tasks import cancel_all, run_forever
from common.url import split_url
from edge.tokens.keys import KeySet, jwks_keys

MAX_DOCUMENT_BYTES = 1_048_576
FETCH_SECONDS = 5.0  # for all of an answer

Fetch = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds from the end of one fetch to the next."""

    usual: float = 300.0
    after_failure: float = 10.0
    at_least: float = 5.0  # however many unknown keys tokens name
    at_start: float = 2.0  # while there are no keys


class FetchedKeys:
    """The keys of a JWKS, as it was when it was fetched last; `fetch` gets the document, or raises a known error."""

    def __init__(self, url: str, fetch: Fetch | None = None, pauses: Pauses = Pauses()) -> None:
        self._host = split_url(url).netloc
        self._fetch = fetch or DocumentAt(url)
        self._pauses = pauses
        self._keys: KeySet | None = None
        self._document = b""
        self._fails = False
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def current(self) -> KeySet:
        """Return the keys; raises `UnavailableError` until they have been fetched once."""
        if self._keys is None:
            raise UnavailableError("token: the keys that tokens are checked with are not here yet; try again")
        return self._keys

    def look_again(self) -> None:
        """Fetch soon: a token named a key that is not here."""
        self._wanted.set()

    def start(self) -> None:
        """Begin to fetch."""
        self._task = asyncio.create_task(run_forever(self._go_on))

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            await cancel_all(self._task)

    async def _go_on(self) -> None:
        while True:
            self._wanted.clear()
            await self._refresh()
            await self._pause()

    async def _pause(self) -> None:
        """Wait until the next fetch is due, or is wanted and may be."""
        if self._keys is None:
            await asyncio.sleep(self._pauses.at_start)
            return
        await asyncio.sleep(self._pauses.at_least)
        longest = self._pauses.after_failure if self._fails else self._pauses.usual
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), max(0.0, longest - self._pauses.at_least))

    async def _refresh(self) -> None:
        """Fetch once; one log line says that it fails, and one that it does no longer."""
        try:
            self._take(await self._fetch())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            if not self._fails:
                kept = "the old ones stay" if self._keys else "no token can be checked"
                told = f"the keys of tokens cannot be fetched; {kept}"
                get_logger().warning(told, host=self._host, error=_words(error))
            self._fails = True
        else:
            if self._fails:
                get_logger().info("the keys of tokens are fetched again", host=self._host)
            self._fails = False

    def _take(self, document: bytes) -> None:
        """Take the keys of a document instead of those before; raises ValueError for what is no JWKS."""
        if self._keys is not None and document == self._document:
            return  # the same set: what was checked with it stays good
        keys, faults = jwks_keys(document, may_hold_secrets=False)
        left_out = list(dict.fromkeys(faults))
        if keys.keys:
            get_logger().info("the keys of tokens are here", host=self._host, keys=len(keys.keys), left_out=left_out)
        else:
            get_logger().warning("no key of tokens is left; every token is refused", host=self._host, left_out=left_out)
        self._keys, self._document = keys, document


class DocumentAt:
    """Gets a document by HTTP: all of it, in time, from this address and no other."""

    def __init__(self, url: str) -> None:
        self._url = url
        # aiohttp's own context has no certificates in an edge: see edge/__main__.py.
        self._tls = ssl.create_default_context() if url.lower().startswith("https") else True

    async def __call__(self) -> bytes:
        """Return the document; raises one of aiohttp's errors, TimeoutError or ValueError."""
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        # What is compressed nevertheless is not inflated: a small answer may become a large one.
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers, auto_decompress=False) as session,
            session.get(self._url, ssl=self._tls, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"the answer has the status {response.status}, not 200")
            return await _read(response.content)


async def _read(content: aiohttp.StreamReader) -> bytes:
    document = bytearray()
    async for piece in content.iter_any():
        document += piece
        if len(document) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"the answer has more than {MAX_DOCUMENT_BYTES} bytes")
    return bytes(document)


def _words(error: Exception) -> str:
    """Return what went wrong, for a log line."""
    return f"no answer within {FETCH_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error) or repr(error)
