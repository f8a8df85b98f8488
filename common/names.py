"""Channel names, and every name that this project uses in Redis."""

import re
from collections.abc import Iterable

from common.errors import BadRequestError, ForeignChannelError

MAX_CHANNEL_BYTES = 255
FORBIDDEN = "{}!*"  # beside white space and control characters
DEPLOYMENTS = "!comet:deployments"  # the key of all deployments; the names of none of them begin with `!`
_FORBIDDEN = re.compile(rf"[{FORBIDDEN}\s\x00-\x1f\x7f-\x9f]")


def check_channel(name: str) -> str:
    """Return `name` if it may name a channel.

    A channel name is 1 to 255 bytes of UTF-8 without control characters, white space, `{`, `}`, `!` or `*`:
    braces would move keys to another Cluster slot, `!` marks names of the project's own, `*` is reserved for patterns.
    Raises `BadRequestError` with a sentence that says what is wrong.
    """
    if not name:
        raise missing_channel("?id=room")
    if _is_plain(name):
        return name
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise BadRequestError("id: a channel name must be valid UTF-8") from None
    if size > MAX_CHANNEL_BYTES:
        raise BadRequestError(f"id: a channel name has at most {MAX_CHANNEL_BYTES} bytes, this one has {size}")
    forbidden = _FORBIDDEN.search(name)
    if forbidden is not None:
        raise BadRequestError(
            f"id: {forbidden[0]!r} is not allowed in a channel name "
            "(no white space, control characters, '{', '}', '!' or '*')"
        )
    return name


def channel_fault(name: str) -> str:
    """Say why a name in a setting or a claim cannot be a channel's; an empty string if it can."""
    try:
        check_channel(name)
    except BadRequestError as error:
        return error.sentence.removeprefix("id: ")
    return ""


def missing_channel(example: str) -> BadRequestError:
    """Return the error for a request that names no channel; `example` shows how to name one."""
    return BadRequestError(f"id: a channel name is missing; write for example {example}")


def check_parameter(name: str) -> None:
    """Raise `BadRequestError` for the name of a parameter that a template or a library has changed."""
    if name.startswith("amp;"):
        raise BadRequestError("the URL was escaped for HTML: write & where it has &amp;")
    if name.endswith("[]"):
        plain = name.removesuffix("[]")[:128]
        raise BadRequestError(f"{plain}: write the name without brackets, for several ids as id=a&id=b")


def _is_plain(name: str) -> bool:
    """Say whether a name is legal at first sight: a short one of ASCII letters, digits, `_`, `-`, `.`, `:` or `/`."""
    bare = name.replace("-", "").replace("_", "").replace(".", "").replace(":", "").replace("/", "")
    return len(name) <= MAX_CHANNEL_BYTES and (not bare or (bare.isascii() and bare.isalnum()))


class RedisNames:
    """The names in Redis of one deployment, built from its prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._prefix_bytes = prefix.encode()
        self._prefix_length = len(self._prefix_bytes)

    def channel(self, name: str) -> bytes:
        """Return the pub/sub channel that carries the messages of channel `name`."""
        return self._prefix_bytes + name.encode()

    def name_of(self, pubsub_channel: bytes) -> str:
        """Return the channel name of a pub/sub channel: the inverse of `channel`.

        One that is not UTF-8, which nobody here has subscribed to, becomes a name that no channel has.
        """
        return pubsub_channel[self._prefix_length :].decode("utf-8", "surrogateescape")

    def log(self, name: str) -> str:
        """Return the key of the stream that holds a channel's history."""
        return f"{{{self.prefix}{name}}}:log"

    def top(self, name: str) -> str:
        """Return the key of the hash that holds a channel's newest position."""
        return f"{{{self.prefix}{name}}}:top"

    def once(self, name: str, key: str) -> str:
        """Return the key that holds the result of a publish with an idempotency key."""
        return f"{{{self.prefix}{name}}}:once:{key}"

    def inbox(self, owner: str) -> bytes:
        """Return the pub/sub channel on which the process `owner` receives answers."""
        return self._prefix_bytes + b"!inbox:" + owner.encode()

    def probe(self, owner: str) -> bytes:
        """Return the pub/sub channel on which the process `owner` proves that its Redis connection delivers."""
        return self._prefix_bytes + b"!probe:" + owner.encode()

    def name_list(self, digest: str) -> bytes:
        """Return the key of a list of channels' names that long cursors refer to."""
        return self._prefix_bytes + b"!names:" + digest.encode()

    def edges(self) -> bytes:
        """Return the pub/sub channel that every edge subscribes to; the key of the same name lists the edges."""
        return self._prefix_bytes + b"!edges"

    def edge(self, edge_id: str) -> bytes:
        """Return the pub/sub channel of one edge; the key of the same name holds its announcement."""
        return self._prefix_bytes + b"!edge:" + edge_id.encode()


class ForeignNames:
    """The channel names that mean another deployment's channels in Redis, because its prefix is longer than ours.

    The channel `staging:room` of the deployment `comet:` is the channel `room` of `comet:staging:`: such names are the
    other's. `beginnings` are what they begin with, after our prefix.
    """

    def __init__(self, prefix: str) -> None:
        self.beginnings: tuple[str, ...] = ()
        self._prefix = prefix

    def learn(self, prefixes: Iterable[str]) -> None:
        """Take the prefixes of all deployments that are in use, our own among them."""
        longer = (other for other in set(prefixes) if other != self._prefix and other.startswith(self._prefix))
        self.beginnings = tuple(sorted(other[len(self._prefix) :] for other in longer))

    def check(self, channel: str) -> None:
        """Raise `ForeignChannelError` if a channel is another deployment's."""
        if channel.startswith(self.beginnings):
            owner = self._prefix + max((each for each in self.beginnings if channel.startswith(each)), key=len)
            raise ForeignChannelError(
                f"id: {channel!r} belongs to another deployment on this Redis, whose COMET_PREFIX is {owner!r}; "
                "choose a name that begins otherwise"
            )
