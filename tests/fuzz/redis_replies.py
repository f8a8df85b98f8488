"""Replies on the subscribe connection: whatever answers there, the connection goes on or ends with a clear error.

Below it is hiredis, which is C: a crash of it would end the run. Replies that come in pieces are read as those that
come at once. A server that begins as Redis does is believed what it claims later (common/redis/answers.py): an array of
a thousand million is tried only where it is looked for.
"""

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

import hiredis
from redis import RedisError

from common.errors import FrameError
from common.message import decode
from common.names import RedisNames
from common.redis.answers import CLAIM_BYTES
from common.redis.client import Endpoint
from common.redis.connection import MESSAGE_START, SUBSCRIBE, UNSUBSCRIBE, PubSubConnection
from common.rpc.messages import decode_receipt
from common.rpc.replies import ReplyInbox

NAMES = RedisNames("comet:")
ENDPOINT = Endpoint("127.0.0.1", 6379, "", None, "", "")
PROBE = NAMES.probe("me")
CLAIM = re.compile(rb"[*$%~>|=][0-9]{6}")
ENDED_BY = (OSError, RedisError, hiredis.HiredisError, type(None))
PIECES = (1, 5)  # bytes
MAX_PIECES = 100
LOOP = asyncio.new_event_loop()

Event = tuple[object, ...]


class Heard(NamedTuple):
    """What a consumer was told, and why the connection ended, if it did."""

    events: list[Event]
    error: BaseException | None


def check(data: bytes) -> None:
    """Let a server answer with this."""
    if CLAIM.search(data) and (data.startswith(MESSAGE_START) or len(data) > CLAIM_BYTES):
        return
    whole = heard([data])
    for size in PIECES:
        if size < len(data) <= size * MAX_PIECES:
            pieces = heard([data[at : at + size] for at in range(0, len(data), size)])
            assert whole.error is not None or pieces == whole


def heard(pieces: Sequence[bytes]) -> Heard:
    """Return what a process hears if a server sends this."""
    found = LOOP.run_until_complete(_hear(pieces))
    assert isinstance(found.error, ENDED_BY), found.error
    return found


async def _hear(pieces: Sequence[bytes]) -> Heard:
    consumer, transport, inbox = _Consumer(), _Transport(), ReplyInbox(NAMES, "me")
    inbox.on_reachable(True)
    pending = inbox.open(decode_receipt)
    pending.sent_to(2)
    own = {PROBE: lambda payload: consumer.events.append(("probe", payload)), inbox.name: inbox.on_message}
    connection = PubSubConnection(consumer, ENDPOINT, own)
    connection.connection_made(transport)
    connection.request(SUBSCRIBE, NAMES.channel("room"), 7)
    connection.request(UNSUBSCRIBE, NAMES.channel("gone"), 0)
    await asyncio.sleep(0)  # the requests go out
    for piece in pieces:
        if not transport.is_closed:
            connection.data_received(piece)
    return Heard(consumer.events, connection.error)


class _Consumer:
    """Takes messages as an edge's hub does, and notes them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_message(self, name: bytes, payload: bytes) -> None:
        channel = NAMES.name_of(name)
        try:
            self.events.append((channel, decode(payload)))
        except FrameError as error:
            self.events.append((channel, str(error)))

    def on_read_end(self) -> None:
        pass

    def on_subscribed(self, name: bytes, attempt: int) -> None:
        assert (name, attempt) == (b"comet:room", 7)
        self.events.append(("subscribed",))

    def on_unsubscribed(self, name: bytes) -> None:
        assert name == b"comet:gone"
        self.events.append(("unsubscribed",))


class _Transport(asyncio.Transport):
    """Sends nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return _Socket()

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True


class _Socket:
    """Has no options that matter."""

    family = socket.AF_UNIX

    def setsockopt(self, *option: int) -> None:
        pass
