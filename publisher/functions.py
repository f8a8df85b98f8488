"""The Redis Function for backends is offered for as long as a publisher runs."""

import asyncio

from redis import RedisError

from common.logs import get_logger
from common.scripts.calls import Scripts
from common.tasks import Worker

LOOK_INTERVAL = 30.0  # seconds between two looks whether it is still there: FUNCTION FLUSH tells no connection


class FunctionKeeper:
    """Installs `comet_publish` on every new connection, for a Redis may start empty, and again if it was removed."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._is_offered = False
        self._installer = Worker(self._install)

    def connected(self) -> None:
        """Install it on the server that was just reached."""
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
        try:
            await self._scripts.install_functions()
        except (RedisError, OSError) as error:
            self._is_offered = False
            get_logger().info("FCALL comet_publish cannot be offered; nothing else needs it", error=str(error))
        else:
            self._is_offered = True
