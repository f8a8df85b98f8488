"""Tails: a page for operators follows the log of a channel.

A tail reads the log and does not subscribe: a subscriber of the pub/sub channel would count as an edge in the answer of
every publisher. So it shows messages that have a position, and none that are live only.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import orjson
from aiohttp import web
from redis import RedisError
from redis.asyncio import Redis

from common.errors import BadRequestError, UnavailableError
from common.names import ForeignNames, RedisNames
from common.position import Position
from common.redis.answers import reading
from common.scripts.results import LogEntry, parse_entry, parse_seq
from publisher.api.http_request import query_of
from publisher.request import parse_channel

MAX_BACKLOG = 20  # messages shown that were published before the tail began
MAX_PER_READ = 100  # messages in one read
BLOCK_MS = 500  # that Redis waits for a message: well below the timeout of a command
READ_INTERVAL = 0.1  # seconds between two reads: a page shows at most a thousand messages a second
RETRY_INTERVAL = 1.0  # seconds between two reads while Redis fails
MAX_CHARACTERS = 2000  # of a content
MAX_TAILS = 32
KEEPALIVE_INTERVAL = 15.0  # seconds after which a silent tail writes something, to learn whether its page is there
WRITE_TIMEOUT = 10.0  # seconds that a page may take no bytes
NO_REDIS = "redis does not answer; trying again"
RESTARTED = "the log has started again"

Entry = dict[str, Any]


class TailApi:
    """The handler of `GET /admin/tail?id=`: Server-Sent Events for as long as the page is there."""

    def __init__(self, redis: Redis, names: RedisNames, foreign: ForeignNames, *, keeps_history: bool) -> None:
        self.open = 0
        self._redis = redis
        self._names = names
        self._foreign = foreign
        self._keeps_history = keeps_history
        self._is_stopping = False

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the route."""
        router.add_get("/admin/tail", self._on_request, allow_head=False)  # a HEAD would have no end

    def stop(self) -> None:
        """Let every tail end."""
        self._is_stopping = True

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        """Follow one channel until its page goes or this publisher stops."""
        channel = parse_channel(query_of(request))
        self._foreign.check(channel)
        if not self._keeps_history:
            raise BadRequestError("no messages are kept here (COMET_HISTORY_SIZE=0); subscribe at an edge instead")
        if self.open >= MAX_TAILS:
            raise UnavailableError(f"{MAX_TAILS} pages follow channels already; close one", retry_after=10)
        self.open += 1
        try:
            return await self._follow(request, self._names.log(channel))
        finally:
            self.open -= 1

    async def _follow(self, request: web.Request, key: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        written = loop.time()
        try:
            async for entries in self._entries(key):
                if self._is_stopping or request.transport is None or request.transport.is_closing():
                    break
                if entries or loop.time() - written > KEEPALIVE_INTERVAL:
                    async with asyncio.timeout(WRITE_TIMEOUT):
                        await response.write(b"".join(map(_event, entries)) or b":\n")
                    written = loop.time()
        except (ConnectionError, TimeoutError):
            pass  # the page is gone, or takes no more bytes
        return response

    async def _entries(self, key: str) -> AsyncIterator[list[Entry]]:
        """Yield, at each read, the entries that are new: often none."""
        at: Position | None = None
        while True:
            try:
                entries, at = await self._read(key, at)
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_INTERVAL)
                entries = [{"note": NO_REDIS}]
            yield entries
            await asyncio.sleep(READ_INTERVAL)

    async def _read(self, key: str, at: Position | None) -> tuple[list[Entry], Position]:
        """Return the entries after a position and the position of the last; without a position, the newest entries."""
        if at is None:
            newest = await self._newest(key, MAX_BACKLOG)
            with reading("XREVRANGE", newest):
                return _shown(newest, None), _last(newest, Position(0, 0))
        answer = cast(list[Any], await self._redis.xread({key: str(at)}, count=MAX_PER_READ, block=BLOCK_MS))
        newest = [] if answer else await self._newest(key, 1)
        with reading("XREAD", answer or newest):
            if not answer and _last(newest, at) < at:
                return [{"note": RESTARTED}], Position(0, 0)
            found = answer[0][1] if answer else []
            return _shown(found, at), _last(found, at)

    async def _newest(self, key: str, count: int) -> list[Any]:
        return list(reversed(cast(list[Any], await self._redis.xrevrange(key, count=count))))


def _last(found: Sequence[Any], otherwise: Position) -> Position:
    return parse_seq(found[-1][0]) if found else otherwise


def _shown(found: Sequence[Any], at: Position | None) -> list[Entry]:
    """Return entries as the page shows them, with a note where the log no longer holds what came between."""
    entries: list[Entry] = []
    for entry_id, fields in found:
        entry = parse_entry(entry_id, fields)
        missed = entry.position.offset - at.offset - 1 if at is not None and at.offset else 0
        if missed > 0:
            entries.append({"note": f"{missed} messages were gone before they could be read"})
        entries.append(_entry(entry))
        at = entry.position
    return entries


def _entry(entry: LogEntry) -> Entry:
    """Return one message as the page shows it; its tag is the microsecond at which Redis took it."""
    payload = entry.payload or b""
    return {
        "seq": str(entry.position),
        "at": entry.position.tag / 1e6,
        "event": entry.event,
        "content": payload.decode(errors="replace")[:MAX_CHARACTERS],
        "size": len(payload),
    }


def _event(entry: Entry) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(entry)
