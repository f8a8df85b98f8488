"""The life of a process: settings in, start, serve until a signal, stop, exit code out."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from common.errors import SettingsError
from common.logs import configure_logging, get_logger
from common.service.process import raise_open_files
from common.settings import Settings, load_settings, unknown_variables

MOST_NOTICE = 5.0
LATEST_END = 4.7  # seconds after the end of the drain: 5, less what the last log line and the exit itself take


def notice_of_drain(seconds: float) -> float:
    """Return how much of a drain's seconds a service goes on as ever, so that load balancers notice it is not ready."""
    return min(MOST_NOTICE, seconds / 2)


class Service(Protocol):
    """What `run_service` runs."""

    on_drain: Callable[[], None]  # set by `run_service`: asks for the same as SIGTERM does

    async def start(self) -> None:
        """Begin to serve and return; raises `SettingsError` or OSError, having cleaned up, if that cannot be."""

    async def drain(self) -> None:
        """Send everybody away in their own time; returns when nobody is left or the time is up."""

    async def stop(self) -> None:
        """End what was started, at once; after LATEST_END seconds the process is ended."""


class Ending:
    """How a process is told to end: SIGTERM drains it, SIGINT stops it, a second signal ends it that very moment."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self._signalled = False

    def watch(self) -> None:
        """Listen to the signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)

    def _on_signal(self, number: int) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        if number == signal.SIGINT:
            self.at_once.set()
        self.asked.set()


def run_service(
    name: str,
    make: Callable[[Settings], Service],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **overrides: object,
) -> int:
    """Run one service until SIGTERM or SIGINT and return the process's exit code.

    `make` is called in the running loop. `overrides` are settings that win over the environment. Returns 0; 2 if a
    setting stops it, 1 if the system does, with one line on stderr.
    """
    try:
        settings = load_settings(**overrides)
        configure_logging(name)
        raise_open_files()
        for warning in unknown_variables(os.environ):
            get_logger().warning(warning)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_serve(make, settings))
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"comet {name}: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    return 0


async def _serve(make: Callable[[Settings], Service], settings: Settings) -> None:
    ending = Ending()
    ending.watch()
    service = make(settings)
    service.on_drain = ending.asked.set
    await service.start()
    get_logger().info("started", pid=os.getpid())
    await ending.asked.wait()
    try:
        if settings.drain_seconds and not ending.at_once.is_set():
            await _drain(service, ending.at_once)
    finally:
        _end_at_the_latest()
        get_logger().info("stopping")
        await service.stop()
        get_logger().info("stopped")


def _end_at_the_latest() -> None:
    """End this process in time even if something hangs: each part of `stop` has its deadline, a thread may have none.

    A name server that does not answer holds the thread that looks a name up for ten seconds, and Python waits for it.
    """
    timer = threading.Timer(LATEST_END, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    get_logger().error("something did not stop in time; the process ends all the same")
    os._exit(1)


async def _drain(service: Service, at_once: asyncio.Event) -> None:
    """Drain a service, until it is told to stop at once."""
    draining, stopping = asyncio.create_task(service.drain()), asyncio.create_task(at_once.wait())
    await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, draining):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
