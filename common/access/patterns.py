"""Patterns of channel names: exact names, and beginnings that are written with a star at the end. Pure."""

from collections.abc import Iterable

from common.names import channel_fault

STAR = "*"
FEW = 16  # names that a tuple finds as fast as a set, in a fifth of its memory: each user of a token has patterns


class Patterns:
    """A set of channels, given as exact names and as beginnings such as `news:*`; `*` alone is all channels.

    Its length is the number of patterns. Raises ValueError with a sentence for one that no channel can match.
    """

    __slots__ = ("_beginnings", "_exact")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        different = dict.fromkeys(texts)
        for text in different:
            _check(text)
        exact = tuple(text for text in different if not text.endswith(STAR))
        self._exact = exact if len(exact) <= FEW else frozenset(exact)
        self._beginnings = tuple(text.removesuffix(STAR) for text in different if text.endswith(STAR))

    def __len__(self) -> int:
        return len(self._exact) + len(self._beginnings)

    @property
    def texts(self) -> list[str]:
        """The patterns as they are written, in the order of the alphabet."""
        return sorted([*self._exact, *(beginning + STAR for beginning in self._beginnings)])

    def matches(self, channel: str) -> bool:
        """Say whether a channel is one of the set."""
        return channel in self._exact or channel.startswith(self._beginnings)


def _check(text: str) -> None:
    """Raise ValueError unless a channel's name may match a pattern."""
    if text == STAR:
        return
    if fault := channel_fault(text.removesuffix(STAR)):
        raise ValueError(f"{text[:60]!r} matches no channel ({fault})")
