"""Positions, places in a channel's log, written `offset-tag`; cursors, a subscriber's positions on all its channels.

A cursor stays within MAX_CURSOR_BYTES, in a URL as well. It is readable if that holds whatever the positions become:
`1-2,3-4` in the order of the ids, or `room=1-2&b=3-4` if it has to name its channels. Else it is compact:

    ~BLOB           one position for each id
    ~DIGEST.BLOB    the names are stored in Redis under DIGEST (edge/cluster/name_lists.py), for any edge to read

A blob is base64url of a checksum (4 bytes, CRC-32), for the second form a bit for each name (whether the subscriber has
that channel), and 16 bytes for each position.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from struct import pack, unpack
from typing import NamedTuple
from urllib.parse import quote, unquote
from zlib import crc32

from common.errors import BadRequestError
from common.names import check_channel

# 19 digits stay below 2**64, as the parts of a Redis stream id must.
_PATTERN = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})", re.ASCII)
_COMPACT = re.compile(r"~(?:([A-Za-z0-9_-]{24})\.)?([A-Za-z0-9_-]{6,4000})", re.ASCII)
_END = 10**19  # numbers are below this

MAX_CURSOR_BYTES = 4096
_WRITTEN_BYTES = 2 * 19 + 1 + 3  # a position at its longest, and the %2C or %26 before it
MAX_LISTED = MAX_CURSOR_BYTES // _WRITTEN_BYTES  # positions in a readable list
MAX_NAMES_BYTES = 65_536  # of a list of names: 128 that a subscriber has, and as many new ones as a request can name


class Position(NamedTuple):
    """A message's offset (1, 2, 3 …) and its tag (microseconds of Redis' clock, strictly increasing) in its log."""

    offset: int
    tag: int

    def __str__(self) -> str:
        return f"{self.offset}-{self.tag}"


#: The position before all that is kept: `since=0` asks for the whole history.
START = Position(0, 0)

#: The position of a client that sends back what another server gave it: no log leads from here, so it gets a reset.
FOREIGN = Position(9_999_999_999_999_999_999, 1)

#: The position of a client whose cursor refers to names that are no longer stored; it gets a reset, too.
FORGOTTEN = Position(9_999_999_999_999_999_999, 2)


def unproven(offset: int) -> Position:
    """Return a place in the log that is no message's: all that is kept after it follows without proof.

    No message has the tag 0, so a client can send no such position but `START`.
    """
    return Position(offset, 0)


def parse_position(text: str) -> Position:
    """Read one position as a client sends it back; `0` is `START`.

    Raises `BadRequestError` for a text that no server of this project writes.
    """
    if text == "0":
        return START
    match = _PATTERN.fullmatch(text)
    position = Position(int(match[1]), int(match[2])) if match else None
    if position is None or (position.tag == 0 and position != START):
        raise BadRequestError(f"since: {text[:60]!r} is not a position; send back a seq as you received it")
    return position


def parse_positions(text: str, count: int) -> list[Position | None]:
    """Read a comma-separated list of positions, one for each of `count` channels in the order asked.

    An empty one is None, "from now on": for a channel that is new beside others. A single `0` is `START` for all
    channels. A space may follow a comma. The list may be compact. Raises `BadRequestError`.
    """
    if text == "0":
        return [START] * count
    positions: list[Position | None]
    if text.startswith("~"):
        positions = [*_unpacked(_opened("", text))]
    else:
        positions = [parse_position(part) if part else None for part in text.replace(", ", ",").split(",")]
    if len(positions) != count:
        raise BadRequestError(
            f"since: {len(positions)} positions for {count} channels; send one for each id, in the same order"
        )
    return positions


def parse_named_positions(text: str) -> dict[str, Position | None]:
    """Read positions that name their channels, as `named_positions` writes them; an empty one is None.

    Raises `BadRequestError`.
    """
    named: dict[str, Position | None] = {}
    for field in text.split("&"):
        name, equals, position = field.partition("=")
        if not equals:
            raise BadRequestError(f"since: {field[:60]!r} does not name its channel; write for example room=12-17")
        try:
            channel = check_channel(unquote(name, errors="strict"))
        except UnicodeDecodeError:
            raise BadRequestError(f"since: {name[:60]!r} is not UTF-8; percent-encode it as such") from None
        named[channel] = parse_position(position) if position else None
    return named


def named_positions(positions: Mapping[str, str]) -> str:
    """Return positions with the names of their channels: `room=12-17&b=13-18`, the names percent-encoded."""
    return "&".join(f"{quote(name, safe='')}={seq}" for name, seq in positions.items())


class Positions(dict[str, str]):
    """A subscriber's positions: channel -> seq, in the order in which it asked for the channels."""

    __slots__ = ()

    @property
    def is_plain(self) -> bool:
        """Whether the cursor is the position on the one channel, as for all who stand at the same place."""
        return len(self) == 1

    @property
    def cursor(self) -> str:
        """What the subscriber sends back to continue from here; it repeats its channels in the same order."""
        if len(self) <= MAX_LISTED:
            return ",".join(self.values())
        return f"~{_sealed('', _packed(self.values()))}"


class NameList:
    """The names of channels that long cursors refer to; equal lists have one `digest`, under which they are stored."""

    __slots__ = ("digest", "names")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.digest = urlsafe_b64encode(sha256(self.text).digest()[:18]).decode()

    @classmethod
    def read(cls, text: bytes) -> "NameList":
        """Return the list whose `text` this is; raises `ValueError` or `BadRequestError` if it can be none's."""
        return cls([check_channel(name) for name in text.decode().split("\n")])

    @property
    def text(self) -> bytes:
        """What is stored: no name has a line break."""
        return "\n".join(self.names).encode()

    def cursor(self, positions: Mapping[str, str]) -> str:
        """Return a cursor of positions on some of these channels; it names them if there are others among them."""
        bits, seqs = 0, []
        for index, name in enumerate(self.names):
            if name in positions:
                bits |= 1 << index
                seqs.append(positions[name])
        if len(seqs) < len(positions):
            return named_positions(positions)
        body = bits.to_bytes((len(self.names) + 7) // 8, "little") + _packed(seqs)
        return f"~{self.digest}.{_sealed(self.digest, body)}"


class NamedPositions(Positions):
    """The positions of a subscriber whose channels have changed since it named them: the cursor names them, too.

    If that would be too long, it refers to `names`, which are stored and among which are all its channels.
    """

    __slots__ = ("names",)

    def __init__(self, positions: Mapping[str, str] | Iterable[tuple[str, str]], names: NameList | None = None) -> None:
        super().__init__(positions)
        self.names = names

    @property
    def is_plain(self) -> bool:
        """The cursor has the channel's name, too."""
        return False

    @property
    def cursor(self) -> str:
        """What the subscriber sends back to continue from here, in place of its channels' names."""
        return self.names.cursor(self) if self.names is not None and self else named_positions(self)


class StoredCursor(NamedTuple):
    """A cursor whose names are stored under a digest."""

    digest: str
    body: bytes

    def positions(self, names: NameList) -> dict[str, Position]:
        """Return its positions by the channels' names; raises `BadRequestError` if it is no cursor of these names."""
        size = (len(names.names) + 7) // 8
        bits = int.from_bytes(self.body[:size], "little")
        has = [name for index, name in enumerate(names.names) if bits >> index & 1]
        positions = _unpacked(self.body[size:])
        if len(has) != len(positions) or bits >> len(names.names):
            raise _damaged()
        return dict(zip(has, positions, strict=True))


def parse_stored_cursor(text: str) -> StoredCursor | None:
    """Return a cursor whose names are stored, or None if a text is of another form; raises `BadRequestError`."""
    if not text.startswith("~") or "." not in text:
        return None
    digest = text[1:].partition(".")[0]
    return StoredCursor(digest, _opened(digest, text))


def is_long(names: Iterable[str]) -> bool:
    """Say whether a cursor that names these channels may become longer than MAX_CURSOR_BYTES in a URL."""
    room = MAX_CURSOR_BYTES
    for name in names:
        room -= _WRITTEN_BYTES + 3 + len(quote(quote(name, safe=""), safe=""))
        if room < 0:
            return True
    return False


def _packed(seqs: Iterable[str]) -> bytes:
    """Return positions, as they are written, in 16 bytes each."""
    numbers = [int(number) for seq in seqs for number in seq.split("-")]
    return pack(f">{len(numbers)}Q", *numbers)


def _unpacked(data: bytes) -> list[Position]:
    """Return the positions that `_packed` made these bytes of; raises `BadRequestError` if it did not."""
    if len(data) % 16:
        raise _damaged()
    numbers = unpack(f">{len(data) // 8}Q", data)
    positions = [Position(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    if any(number >= _END for number in numbers) or any(not at.tag and at != START for at in positions):
        raise _damaged()
    return positions


def _sealed(digest: str, body: bytes) -> str:
    """Return a blob: it shows whether it came back as it was sent, for another one might mean other channels."""
    checksum = crc32(digest.encode() + body).to_bytes(4)
    return urlsafe_b64encode(checksum + body).decode().rstrip("=")


def _opened(digest: str, text: str) -> bytes:
    """Return what is sealed in a compact cursor; raises `BadRequestError`."""
    match = _COMPACT.fullmatch(text)
    if match is None or (match[1] or "") != digest:
        raise _damaged()
    try:
        blob = urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4))
    except Error:
        raise _damaged() from None
    if _sealed(digest, blob[4:]) != match[2]:
        raise _damaged()
    return blob[4:]


def _damaged() -> BadRequestError:
    return BadRequestError("since: this position is damaged; send back a seq as you received it")
