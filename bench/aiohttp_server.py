"""The usual way in Python, to compare with: aiohttp, one handler and one queue per subscriber.

python -m bench.aiohttp_server PORT

GET /sse?id=…          a stream of events
GET /poll?id=…&since=N  held until a message after number N, answered with a batch
POST /pub?id=…         the body goes to all subscribers of the channel; answered 204
"""

import asyncio
import json
import sys
from collections import defaultdict, deque
from functools import partial

from aiohttp import web

compact = partial(json.dumps, separators=(",", ":"))
MAX_KEPT = 100  # messages per channel, as the other servers keep
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Channel:
    """Its subscribers' queues, and its last messages."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[tuple[int, str]]] = set()
        self.kept: deque[tuple[int, str]] = deque(maxlen=MAX_KEPT)
        self.top = 0

    def publish(self, content: str) -> None:
        """Put a message into every queue."""
        self.top += 1
        message = (self.top, content)
        self.kept.append(message)
        for queue in self.queues:
            queue.put_nowait(message)


class Server:
    """All channels and the three handlers."""

    def __init__(self) -> None:
        self._channels: defaultdict[str, Channel] = defaultdict(Channel)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Hold a subscriber and send it every message."""
        channel = self._channels[request.query["id"]]
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
        channel.queues.add(queue)
        try:
            await response.write(b"event: welcome\ndata: hello world!\n\n")
            while True:
                number, content = await queue.get()
                await response.write(f"id: {number}\ndata: {content}\n\n".encode())
        finally:
            channel.queues.discard(queue)

    async def poll(self, request: web.Request) -> web.Response:
        """Answer with what came after `since`, or wait for the next message."""
        channel = self._channels[request.query["id"]]
        since = int(request.query.get("since", channel.top))
        messages = [message for message in channel.kept if message[0] > since]
        if not messages:
            queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
            channel.queues.add(queue)
            try:
                messages = [await queue.get()]
            finally:
                channel.queues.discard(queue)
        batch = [{"seq": str(number), "content": content} for number, content in messages]
        return web.json_response({"seq": batch[-1]["seq"], "messages": batch}, dumps=compact)

    async def publish(self, request: web.Request) -> web.Response:
        """Take a message."""
        self._channels[request.query["id"]].publish(await request.text())
        return web.Response(status=204)


def make_app() -> web.Application:
    """Return the application."""
    server, app = Server(), web.Application()
    app.add_routes([web.get("/sse", server.stream), web.get("/poll", server.poll), web.post("/pub", server.publish)])
    return app


if __name__ == "__main__":
    quiet = partial(web.run_app, print=None, access_log=None, backlog=4096, shutdown_timeout=0.1)
    quiet(make_app(), host="127.0.0.1", port=int(sys.argv[1]))
