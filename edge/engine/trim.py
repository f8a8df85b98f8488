"""Relief: what the parked bytes of slow readers took goes back to the system when they are gone."""

from collections.abc import Callable

MUCH = 4_194_304  # parked bytes, before which the C library's own ways are good enough


class Relief:
    """Gives memory back when nothing is parked any more, if much was: the C library would keep most of it for good."""

    def __init__(self, parked_bytes: Callable[[], int], give_back: Callable[[], None]) -> None:
        self._parked_bytes = parked_bytes
        self._give_back = give_back
        self._is_due = False

    def look(self) -> bool:
        """Look how much is parked now; say that there is nothing more to do in this turn."""
        parked = self._parked_bytes()
        if parked >= MUCH:
            self._is_due = True
        elif self._is_due and not parked:
            self._is_due = False
            self._give_back()
        return False
