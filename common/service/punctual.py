"""Connections of the aiohttp services whose requests must be complete in time, which aiohttp itself does not ask.

A head, and 64 KiB of a body, must come within `request_timeout` seconds: the first head after the connection was made,
a later one after its first byte. So whoever connects and says nothing, or too little, keeps no descriptor for longer. A
connection between two requests is aiohttp's own (`keepalive_timeout`).

A client that closes its side after its requests still reads (`nc -N`, some relays): each that is complete is answered,
and then the connection ends. aiohttp would drop them, some after they were carried out.
"""

import asyncio
from typing import Any

import orjson
from aiohttp import StreamReader, web
from aiohttp.streams import EMPTY_PAYLOAD

from common.errors import RequestError
from common.service.http_refusals import error_object

REQUEST_TIMEOUT = 10.0  # seconds, unless a setting says otherwise
BODY_STEP = 65_536  # bytes of a body for which there is as much time as for a head


class PunctualConnection(web.RequestHandler):
    """One connection, with a timer while a request is awaited or not complete."""

    __slots__ = ("_body", "_has_begun", "_is_half_closed", "_received", "_request_timeout", "_timer")

    def __init__(self, manager: web.Server, *, request_timeout: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._request_timeout = request_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._body = EMPTY_PAYLOAD  # of the last request that this has seen
        self._has_begun = False  # a part of a head was sent
        self._is_half_closed = False
        self._received = 0  # bytes of a body since the timer was started

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing any more."""
        self._stop_timer()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """Return True if the connection stays: a request is complete, and its answer has not begun."""
        if not (self._is_busy and self._last_body.is_eof()) or self._answer_has_begun:
            return None
        self._is_half_closed, self._close = True, not self._messages
        return True

    @property
    def _is_busy(self) -> bool:
        """Whether there is a request that is not answered yet."""
        return bool(self._messages) or self._waiter is None

    @property
    def _answer_has_begun(self) -> bool:
        """Whether a part of the answer is sent: one that goes on has no end that its client could wait for."""
        return self._current_request is not None and self._current_request.writer.output_size > 0

    async def _handle_request(self, *arguments: Any) -> tuple[web.StreamResponse, bool]:
        """Carry out a request; the last one of a client that sends no more ends the connection."""
        self._close = self._close or (self._is_half_closed and not self._messages)
        return await super()._handle_request(*arguments)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a request, unless this ends one."""
        requests, was_whole = self._request_count, self._last_body.is_eof()
        super().data_received(data)
        is_new = self._request_count > requests
        if is_new and self._messages:
            self._body = self._messages[-1][1]
        if not self._last_body.is_eof():
            self._on_body(len(data), is_new=is_new)
        elif is_new or not was_whole:
            self._on_whole()
        elif data.strip(b"\r\n"):
            self._has_begun = not self._upgraded
            if self._timer is None:
                self._start_timer()

    def _on_body(self, size: int, *, is_new: bool) -> None:
        self._has_begun = False
        self._received += size
        if is_new or self._received >= BODY_STEP:
            self._start_timer()

    def _on_whole(self) -> None:
        self._has_begun = False
        self._stop_timer()
        if self._upgraded:  # what follows such a request is read after it, so this does not see a body there
            self._start_timer()

    @property
    def _last_body(self) -> StreamReader:
        """The body of the request that came last."""
        if self._messages:
            return self._messages[-1][1]
        return self._current_request.content if self._current_request is not None else self._body

    def _start_timer(self) -> None:
        self._stop_timer()
        self._received = 0
        self._timer = self._loop.call_later(self._request_timeout, self._on_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late(self) -> None:
        """The time is up: end the connection, unless an earlier request is being answered."""
        self._timer = None
        error = RequestError(f"the request was not complete after {self._request_timeout:g} seconds", 408)
        if not self._last_body.is_eof():
            self._last_body.set_exception(error)  # which its handler answers with, or stops waiting for the rest
        elif self._waiter is None:
            self._start_timer()
        elif self._has_begun or not self._request_count:
            if self._has_begun and self.transport is not None:
                self.transport.write(_answer(error))
            self.force_close()


def _answer(error: RequestError) -> bytes:
    body = orjson.dumps(error_object(error), option=orjson.OPT_APPEND_NEWLINE)
    head = f"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
