"""The deployments on one Redis server: each announces its prefix, and knows the others, whose names may overlap.

Two deployments need prefixes of which none begins like the other, and the same prefix must not be in two databases,
since pub/sub knows no databases. Neither refuses to start: the names that overlap belong to the longer prefix
(`ForeignNames`), and each deployment says in a warning what it sees.
"""

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple

from redis import RedisError, ResponseError
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from common.logs import get_logger
from common.names import DEPLOYMENTS, ForeignNames
from common.redis.answers import reading
from common.scripts.library import script_text

PERIOD = 5.0  # seconds between two announcements
LIFETIME = 600  # seconds that a deployment counts as in use after its last process has gone
LONGER = "channels that begin like the prefix of another deployment are refused here; none should begin like another"
SHORTER = "the prefix of another deployment is the beginning of ours; none should begin like another"
TWICE = (
    "another database of this Redis has a deployment of the same prefix: /close, /broadcast and messages that are not "
    "stored reach both; give each its own COMET_PREFIX"
)

_DATABASE = re.compile("[0-9]{1,9}", re.ASCII)


class Deployment(NamedTuple):
    """The number of a deployment's database, and its prefix."""

    database: int
    prefix: str


class Deployments:
    """Announces a deployment, and keeps what it knows of the others; `on_change` is called when they are others."""

    def __init__(
        self, redis: Redis, own: Deployment, foreign: ForeignNames, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self.in_use: frozenset[Deployment] = frozenset()
        self._own = own
        self._foreign = foreign
        self._on_change = on_change
        self._announce = redis.register_script(script_text("deployments"))
        self._is_refused = False

    @property
    def prefixes(self) -> frozenset[str]:
        """The prefixes of all deployments in use, in whatever database."""
        return frozenset(deployment.prefix for deployment in self.in_use)

    async def run(self) -> None:
        """Announce and look again and again, until cancelled; without Redis the last look holds."""
        while True:
            try:
                await self.look()
                self._is_refused = False
            except ResponseError as error:
                self._on_refused(error)
            except (RedisError, OSError):
                pass  # the subscribe connection tells of it
            await asyncio.sleep(PERIOD)

    async def look(self) -> None:
        """Announce once, and see which others there are; raises RedisError or OSError."""
        members = await self._announce(keys=[DEPLOYMENTS], args=[*self._own, LIFETIME])
        with reading("the deployments script", members):
            seen = frozenset(deployment for member in members if (deployment := _parse(member)) is not None)
        new, changed = seen - self.in_use, seen != self.in_use
        self.in_use = seen
        for other in sorted(new):
            self._warn_of_overlap(other)
        if changed:
            self._foreign.learn(self.prefixes)
            self._on_change()

    def _warn_of_overlap(self, other: Deployment) -> None:
        own = self._own.prefix
        if other == self._own or not (other.prefix.startswith(own) or own.startswith(other.prefix)):
            return
        sentence = TWICE if other.prefix == own else LONGER if len(other.prefix) > len(own) else SHORTER
        get_logger().warning(sentence, prefix=own, other=other.prefix, database=other.database)

    def _on_refused(self, error: ResponseError) -> None:
        """Say once what is refused; of a server that takes no writes at all, those that write tell."""
        if not self._is_refused and not isinstance(error, ReadOnlyError | OutOfMemoryError):
            self._is_refused = True
            get_logger().warning(
                "redis does not let this deployment announce its prefix; others whose names overlap are not noticed",
                key=DEPLOYMENTS,
                error=str(error),
            )


def _parse(member: bytes) -> Deployment | None:
    """Return the deployment of a member of the set, or None if another program wrote it."""
    database, _, prefix = member.decode(errors="replace").partition(" ")
    return Deployment(int(database), prefix) if _DATABASE.fullmatch(database) and prefix else None
