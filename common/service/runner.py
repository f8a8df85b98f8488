"""The life of a process: read settings, start, serve until a signal, drain, stop, return an exit code."""

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
from common.service.exhausted import LoopFaults
from common.service.process import raise_open_files
from common.service.version import our_build
from common.settings import Settings, load_settings, unknown_variables

MAX_NOTICE = 5.0  # seconds
STOP_TIMEOUT = 4.7  # seconds after the end of the drain: 5, less the time of the last log line and of the exit itself


def notice_of_drain(seconds: float) -> float:
    """Return the first seconds of a drain, in which the service still accepts and load balancers see it not ready."""
    return min(MAX_NOTICE, seconds / 2)


class Service(Protocol):
    """What `run_service` runs."""

    on_drain: Callable[[], None]  # set by `run_service`: has the same effect as SIGTERM

    async def start(self) -> None:
        """Begin to serve and return; if that is impossible, clean up and raise `SettingsError` or OSError."""

    async def drain(self) -> None:
        """Close all connections gradually; return when none is left or the time is up."""

    async def stop(self) -> None:
        """End at once all that was started; after STOP_TIMEOUT seconds the process exits anyway."""


class StopSignals:
    """The signals that end a process: SIGTERM drains it, SIGINT stops it, a second one of either exits at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        self._signalled = False

    def watch(self) -> None:
        """Install the handlers of the signals."""
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

    `make` is called in the running loop. `overrides` are settings that win over the environment. Returns 0, or with one
    line on stderr 2 if a setting cannot be used and 1 if the system refuses something.
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
    signals = StopSignals()
    signals.watch()
    asyncio.get_running_loop().set_exception_handler(LoopFaults())
    service = make(settings)
    service.on_drain = signals.asked.set
    await service.start()
    get_logger().info("started", pid=os.getpid(), build=our_build())
    await signals.asked.wait()
    try:
        if settings.drain_seconds and not signals.at_once.is_set():
            await _drain(service, signals.at_once)
    finally:
        _exit_after_timeout()
        get_logger().info("stopping")
        await service.stop()
        get_logger().info("stopped")


def _exit_after_timeout() -> None:
    """Exit in time even if a part hangs: each part of `stop` has a timeout, but a thread may have none.

    A name server that does not answer blocks the thread of a look-up for ten seconds, and Python waits for the thread.
    """
    timer = threading.Timer(STOP_TIMEOUT, _exit)
    timer.daemon = True
    timer.start()


def _exit() -> None:
    get_logger().error("a part did not stop in time; the process exits without it")
    os._exit(1)


async def _drain(service: Service, at_once: asyncio.Event) -> None:
    """Drain a service until it is done, or told to stop at once."""
    draining, stopping = asyncio.create_task(service.drain()), asyncio.create_task(at_once.wait())
    await asyncio.wait({draining, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, draining):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
