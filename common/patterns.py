"""Patterns of channel names: exact names, and beginnings that are written with a star at the end. Pure."""

from collections.abc import Iterable

from common.errors import BadRequestError
from common.names import check_channel

STAR = "*"


class Patterns:
    """A set of channels, given as exact names and as beginnings such as `news:*`; `*` alone is all channels.

    Raises ValueError with a sentence for a pattern that no channel can match.
    """

    __slots__ = ("_beginnings", "_exact", "texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = tuple(texts)
        for text in self.texts:
            _check(text)
        self._exact = frozenset(text for text in self.texts if not text.endswith(STAR))
        self._beginnings = tuple({text.removesuffix(STAR) for text in self.texts if text.endswith(STAR)})

    def __bool__(self) -> bool:
        return bool(self.texts)

    def matches(self, channel: str) -> bool:
        """Say whether a channel is one of the set."""
        return channel in self._exact or channel.startswith(self._beginnings)


def _check(text: str) -> None:
    """Raise ValueError unless a channel's name may match a pattern."""
    if text == STAR:
        return
    try:
        check_channel(text.removesuffix(STAR))
    except BadRequestError as error:
        raise ValueError(f"{text[:60]!r} matches no channel ({error.sentence.removeprefix('id: ')})") from None
