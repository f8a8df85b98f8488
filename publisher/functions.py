"""The Redis Function for backends is offered for as long as a publisher runs."""

import asyncio
from collections.abc import Callable

from redis import RedisError

from common.logs import get_logger
from common.scripts.calls import Scripts
from common.tasks import Worker

LOOK_INTERVAL = 30.0  # seconds between two looks whether it is still there: FUNCTION FLUSH tells no connection


class FunctionKeeper:
    """Installs `comet_publish` on every new connection, for a Redis may start empty, and again if it was removed."""

    def __init__(self, scripts: Scripts, prefixes: Callable[[], frozenset[str]]) -> None:
        self._scripts = scripts
        self._prefixes = prefixes  # of all deployments on this Redis
        self._is_offered: bool | None = None  # None: it was not tried yet
        self._installer = Worker(self._install)

    def install(self) -> None:
        """Install it: another server was reached, or other deployments are in use."""
        self._installer.wake()

    async def run(self) -> None:
        """Look from time to time whether it is there; where it cannot be offered, do not look."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            if self._is_offered and await self._is_missing():
                get_logger().info("FCALL comet_publish was removed from redis; installing it again")
                self._installer.wake()

    async def finish(self) -> None:
        """End what runs."""
        await self._installer.finish()

    async def _is_missing(self) -> bool:
        try:
            return await self._scripts.lack_functions()
        except (RedisError, OSError):
            return False  # when Redis is reached anew, it is installed anyway

    async def _install(self) -> None:
        installed: frozenset[str] | None = None
        try:
            while installed != self._prefixes():  # they may change meanwhile
                installed = self._prefixes()
                await self._scripts.install_functions(installed)
        except (RedisError, OSError) as error:
            if self._is_offered is not False:  # told once, though it is tried for each new deployment and connection
                get_logger().info("FCALL comet_publish cannot be offered; nothing else needs it", error=str(error))
            self._is_offered = False
        else:
            self._is_offered = True
