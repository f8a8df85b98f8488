"""A list of origins, as COMET_ALLOWED_ORIGINS names them. Pure."""

import re

from common.url import WILDCARD


class OriginList:
    """Origins written as browsers write theirs; `https://*.example.com` stands for all names below the domain."""

    def __init__(self, named: tuple[str, ...] = ()) -> None:
        self.named = named
        self._exact = frozenset(each for each in named if WILDCARD not in each)
        self._below = re.compile("|".join(_names_below(each) for each in named if WILDCARD in each) or "(?!)")

    def has(self, origin: str) -> bool:
        """Say whether an origin is on the list."""
        return origin in self._exact or self._below.fullmatch(origin) is not None


def _names_below(wildcard: str) -> str:
    """Return the pattern of the origins that a wildcard stands for; the domain itself is none of them."""
    scheme, _, domain = wildcard.partition(WILDCARD)
    return rf"{re.escape(scheme)}(?:[a-z0-9_-]+\.)+{re.escape(domain)}"
