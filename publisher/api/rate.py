"""How many messages each key may publish in a second on this publisher: COMET_PUBLISH_RATE."""

import math
from collections.abc import Callable

from common.access.keys import Key
from common.access.rates import Rate
from common.errors import LimitError


class PublishRate:
    """Counts the messages of each key; those who need no key share one rate. 0 is no limit."""

    def __init__(self, per_second: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._rate: Rate[Key] = Rate(per_second, 1.0, clock)

    def spend(self, caller: Key, messages: int) -> None:
        """Take a number of messages, all or none; raises `LimitError` that says when to try again.

        More than a second's worth are taken when nothing was published lately, and paid for by waiting longer.
        """
        if self._rate.take(caller, messages):
            return
        wait = math.ceil(self._rate.seconds_until(caller, messages)) or 1
        whose = f"the key {caller.name!r}" if caller.name else "this publisher, without a key,"
        raise LimitError(
            f"{whose} takes {self._per_second} messages a second (COMET_PUBLISH_RATE); try again in {wait} s",
            "publish_rate",
            wait,
        )
