"""What the log says of an outage of Redis: each thing that was found once, and the end of it."""

from common.errors import WrongServerError
from common.logs import get_logger
from common.redis.answers import is_unreachable

DOWN = "redis is down; not ready until it is back"
UNUSABLE = "redis cannot be used; not ready until it can"
UP = "redis is up"


class Outage:
    """The outage that lasts, if one does; `redis` is the address that the log names."""

    def __init__(self, redis: str) -> None:
        self.error = ""  # what was found when Redis was last not well
        self._told: set[str] = set()
        self._log = get_logger(redis=redis)

    def on_error(self, error: BaseException | None) -> None:
        """Log once an outage that Redis is down, that it cannot be used, and each reason that is proved."""
        self.error = "connection closed" if error is None else str(error) or type(error).__name__
        event = DOWN if error is None or is_unreachable(error) else UNUSABLE
        reason = self.error if isinstance(error, WrongServerError) else event
        if reason not in self._told:
            self._told.add(reason)
            self._log.warning(event, error=self.error)

    def on_open(self) -> None:
        """Log the first connection; one after an outage must stay before it is told of."""
        if not self._told:
            self._log.info(UP)

    def on_steady(self) -> None:
        """Log that the outage is over: a connection delivers, and has stayed."""
        if self._told:
            self._told.clear()
            self._log.info(UP)
