"""A bare aiohttp handler, to compare with: it reads the same JSON, publishes nothing, and answers with as much JSON.

python -m bench.publishing.bare PORT
"""

import asyncio
import sys

import orjson
from aiohttp import web

from publisher.__main__ import fast_loop

ANSWER = {"seq": "1-1795376749401886", "edges": 0}


async def on_publish(request: web.Request) -> web.Response:
    """Read the JSON and answer."""
    orjson.loads(await request.read())
    return web.Response(body=orjson.dumps(ANSWER), content_type="application/json")


def main() -> None:
    """Serve until a signal comes."""
    app = web.Application()
    app.router.add_post("/pub", on_publish)
    make_loop = fast_loop() or asyncio.new_event_loop
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None, loop=make_loop())


if __name__ == "__main__":
    main()
