"""Keys: who sends a request, and what that one may do. Settings write them as entries, separated by commas. Pure.

    COMET_PUBLISH_KEYS=shop:KEY:order:* stock,blog:KEY,KEY
    COMET_ADMIN_KEYS=ops:KEY,dashboard:KEY:read

A key itself is forgotten when it is read: its digest is kept, so that nothing can show it.
"""

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from common.access.patterns import Patterns
from common.errors import RequestError, UnauthorizedError

MIN_KEY_CHARACTERS = 16
ONLY_READS = "read"  # the scope of an operator's key that changes nothing
READING = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that change nothing
FORBIDDEN = 403
SCHEME = "bearer"
EVERY_CHANNEL = Patterns()
_KEY = re.compile(r"[A-Za-z0-9\-._~+/=]+")  # what a bearer token may contain (RFC 6750 section 2.1)
_NAME = re.compile(r"[A-Za-z0-9\-._]{1,32}")  # names are logged; of a good key in this place most are longer


@dataclass(frozen=True, slots=True)
class Key:
    """Who sends a request. `channels` are those that it may publish to; where none are named, it may publish to all."""

    name: str
    digest: bytes = field(default=b"", repr=False)
    channels: Patterns = EVERY_CHANNEL
    only_reads: bool = False

    def check_channel(self, channel: str) -> None:
        """Raise `RequestError` if a channel is not for this key, whether there is such a channel or not."""
        if self.channels and not self.channels.matches(channel):
            raise RequestError(f"id: the key {self.name!r} is not for the channel {channel!r}", FORBIDDEN)

    def check_scope(self, wanted: str) -> None:
        """Raise `RequestError` if this key is for some channels only; `wanted` says what is needed instead."""
        if self.channels:
            raise RequestError(f"the key {self.name!r} is for some channels only; this needs {wanted}", FORBIDDEN)

    def check_method(self, method: str) -> None:
        """Raise `RequestError` if this key may not use a method."""
        if self.only_reads and method not in READING:
            raise RequestError(f"the key {self.name!r} may only read", FORBIDDEN)


NOBODY = Key("")  # who sends a request where no key is needed


class KeyRing:
    """The keys of one setting, and how often each was used, by name."""

    def __init__(self, setting: str = "", keys: Sequence[Key] = ()) -> None:
        self.setting = setting
        self.uses = Counter({key.name: 0 for key in keys})
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def find(self, authorization: str) -> Key | None:
        """Return the key that an Authorization header carries (RFC 6750 section 2.1); None if it is not one of these.

        It is compared with every key, in a time that does not depend on how much of it is right.
        """
        given = _digest(_given(authorization))
        found = [key for key in self._keys if hmac.compare_digest(key.digest, given)]
        for key in found:
            self.uses[key.name] += 1
        return found[0] if found else None

    def open(self, authorization: str) -> Key:
        """Return the key that an Authorization header carries; raises `UnauthorizedError` if it is not one of these."""
        key = self.find(authorization)
        if key is not None:
            return key
        if _given(authorization):
            raise UnauthorizedError(f"this key is not one of {self.setting}")
        raise UnauthorizedError(f"a key is needed; send Authorization: Bearer KEY with one of {self.setting}")


def uses_of(*rings: KeyRing) -> Counter[str]:
    """Return how often the keys of several settings were used, also those that never were."""
    uses: Counter[str] = Counter()
    for ring in rings:
        uses.update(ring.uses)
    return uses


def read_publish_keys(entries: Iterable[str]) -> tuple[Key, ...]:
    """Read `NAME:KEY:CHANNELS`, `NAME:KEY` or a bare `KEY`, which is named for its place, such as `key-2`.

    CHANNELS are names, and beginnings with a star at their end, separated by blanks. Raises ValueError with a sentence
    that names the place of a faulty entry and shows nothing of it. A bare key that is repeated counts once.
    """
    given = tuple(entries)
    places = {place: entry for place, entry in enumerate(given, 1) if ":" in entry or entry not in given[: place - 1]}
    return _all_different({place: _publish_key(place, entry) for place, entry in places.items()})


def read_admin_keys(entries: Iterable[str]) -> tuple[Key, ...]:
    """Read `NAME:KEY`, or `NAME:KEY:read`; raises ValueError as `read_publish_keys` does."""
    return _all_different({place: _admin_key(place, entry) for place, entry in enumerate(entries, 1)})


def _publish_key(place: int, entry: str) -> Key:
    if ":" not in entry:
        return Key(f"key-{place}", _checked(place, entry))
    name, key, *scope = entry.split(":", 2)
    return Key(_name(place, name), _checked(place, key), _channels(place, scope))


def _admin_key(place: int, entry: str) -> Key:
    parts = entry.split(":")
    if len(parts) not in (2, 3) or parts[2:] not in ([], [ONLY_READS]):
        raise ValueError(f"entry {place} must be NAME:KEY, or NAME:KEY:{ONLY_READS}")
    name, key, *scope = parts
    return Key(_name(place, name), _checked(place, key), only_reads=bool(scope))


def _name(place: int, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of entry {place} must have 1 to 32 characters of A-Z a-z 0-9 - . _")
    return name


def _checked(place: int, key: str) -> bytes:
    """Return the digest of a key that can be sent and is hard to guess."""
    if len(key) < MIN_KEY_CHARACTERS or not _KEY.fullmatch(key):
        raise ValueError(
            f"each key needs at least {MIN_KEY_CHARACTERS} characters of A-Z a-z 0-9 - . _ ~ + / =; "
            f"that of entry {place} is another"
        )
    return _digest(key)


def _channels(place: int, scope: Sequence[str]) -> Patterns:
    """Return the channels of an entry; a scope that is written and empty is not taken for all channels."""
    texts = scope[0].split() if scope else []
    try:
        if scope and not texts:
            raise ValueError
        return Patterns(texts)
    except ValueError:
        raise ValueError(
            f"after the key of entry {place} there must be channels, separated by blanks: names, or beginnings such as "
            "news:*; without the second colon it is for all channels"
        ) from None


def _all_different(keys: Mapping[int, Key]) -> tuple[Key, ...]:
    """Return the keys, which are given by their places."""
    names: set[str] = set()
    digests: set[bytes] = set()
    for place, key in keys.items():
        for what, is_known in (("name", key.name in names), ("key", key.digest in digests)):
            if is_known:
                raise ValueError(f"entry {place} has the same {what} as one before it; each needs its own")
        names.add(key.name)
        digests.add(key.digest)
    return tuple(keys.values())


def _given(authorization: str) -> str:
    """Return the key in an Authorization header; empty if there is none."""
    scheme, _, given = authorization.partition(" ")
    return given.strip(" \t") if scheme.lower() == SCHEME else ""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
