"""The life of a process: settings in, start, serve until a signal, stop, exit code out."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Protocol

from common.errors import SettingsError
from common.logs import configure_logging, get_logger
from common.settings import Settings, load_settings, unknown_variables


class Service(Protocol):
    """What `run_service` runs."""

    async def start(self) -> None:
        """Begin to serve and return; raises `SettingsError` or OSError, having cleaned up, if that cannot be."""

    async def stop(self) -> None:
        """End what was started."""


def run_service(
    name: str,
    make: Callable[[Settings], Service],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **overrides: object,
) -> int:
    """Run one service until SIGTERM or SIGINT and return the process's exit code.

    `make` is called in the running loop. `overrides` are settings that win over the environment. A second signal
    ends the process at once. Returns 0; 2 if a setting stops it, 1 if the system does, with one line on stderr.
    """
    try:
        settings = load_settings(**overrides)
        configure_logging(name)
        for warning in unknown_variables(os.environ):
            get_logger().warning(warning)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_serve(make, settings))
    except (SettingsError, OSError) as error:
        sys.stderr.write(f"comet {name}: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    return 0


async def _serve(make: Callable[[Settings], Service], settings: Settings) -> None:
    stopping = _watch_signals()
    service = make(settings)
    await service.start()
    get_logger().info("started", pid=os.getpid())
    await stopping.wait()
    get_logger().info("stopping")
    await service.stop()
    get_logger().info("stopped")


def _watch_signals() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets; the second ends the process."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def on_signal(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stopping
