"""A client that stays on a channel through everything: thrown out, it comes back elsewhere with its position."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tests.cluster.clients import JSONP_CALL, Connection, Json, RefusedError, SseClient, StreamClient
from tests.faults.checker import END, Entry, Log

TRANSPORTS = ("stream", "sse", "poll", "jsonp")
PAUSE = 0.05
AWAY = (OSError, EOFError, http.client.HTTPException)


class End(NamedTuple):
    """How a connection ended under a client: with which edge, how it showed, and when."""

    port: int
    kind: str
    at: float


class Follower(threading.Thread):
    """One client of one channel; it goes through `ports` in turn and stops at the channel's last message.

    `ends` are the connections that ended under it, `refused` counts the 503s, `connects` the (re)connections.
    """

    def __init__(self, transport: str, ports: Sequence[int], channel: str) -> None:
        super().__init__(name=f"{transport} from port {ports[0]}", daemon=True)
        self.log = Log(self.name, channel)
        self.attached, self.over, self.finished = threading.Event(), threading.Event(), threading.Event()
        self.ends: list[End] = []
        self.refused = self.connects = 0
        self.error: BaseException | None = None
        self._transport = transport
        self._ports = ports
        self._seq = ""

    def run(self) -> None:
        """Follow until the last message, or until told to stop; never dies silently."""
        follow = {"stream": self._follow_stream, "sse": self._follow_sse}.get(self._transport, self._poll)
        while not (self.over.is_set() or self.finished.is_set()):
            port = self._ports[self.connects % len(self._ports)]
            self.connects += 1
            try:
                follow(port)
            except RefusedError as error:
                self.refused += 1
                self.error = None if error.status == 503 else error
            except AWAY as error:
                if not self.over.is_set():
                    self.ends.append(End(port, type(error).__name__, time.monotonic()))
            except Exception as error:  # a client that fails must fail its test
                self.error = error
            if self.error is not None:
                return
            self.over.wait(PAUSE)

    @property
    def drops(self) -> int:
        """How many connections ended under it."""
        return len(self.ends)

    @property
    def resets(self) -> int:
        """How many resets it was told."""
        return sum(entry.kind == "reset" for entry in self.log.entries)

    @property
    def messages(self) -> list[str]:
        """The contents it got, in order."""
        return [entry.content for entry in self.log.entries if entry.kind == "data"]

    def _follow_stream(self, port: int) -> None:
        with StreamClient(port, self.log.channel, **self._since()) as client:
            self._read(from_object, client.welcomes[0], client.next_object)

    def _follow_sse(self, port: int) -> None:
        with SseClient(port, self.log.channel, since=self._seq) as client:
            self._read(from_event, client.welcome, client.next_event)

    def _read(self, translate: Callable[[Json], Entry], welcome: Json, read_next: Callable[[], Json]) -> None:
        self._note(translate(welcome))
        while not self.over.is_set():
            self._note(translate(read_next()))
            if self.finished.is_set():
                return

    def _poll(self, port: int) -> None:
        """Poll over one kept-alive connection; the very first poll only asks where the channel stands."""
        with Connection(port) as connection:
            while not (self.over.is_set() or self.finished.is_set()):
                query = {"id": self.log.channel, "callback": "f"} | (self._since() or {"timeout": "0"})
                connection.ask(f"/{self._transport}", query)
                answer = connection.answer()
                if answer.status != 200:
                    raise RefusedError(answer)
                call = JSONP_CALL.fullmatch(answer.text)
                for entry in from_batch(json.loads(call[2]) if call else answer.json):
                    self._note(entry)

    def _since(self) -> dict[str, str]:
        return {"since": self._seq} if self._seq else {}

    def _note(self, entry: Entry) -> None:
        self.log.entries.append(entry)
        self._seq = entry.seq or self._seq
        self.attached.set()
        if entry.content.startswith(END):
            self.finished.set()


def from_batch(batch: Json) -> Iterator[Entry]:
    """Read a poll's answer; its cursor comes last, like a welcome: it must be where the client stands."""
    for item in batch["messages"]:
        yield from_object(item)
    yield Entry("welcome", seq=batch["seq"], at=time.monotonic())


def from_object(item: Json) -> Entry:
    """Read an object of a stream or of a batch; raises EOFError if it is a goodbye."""
    if item["type"] not in {"welcome", "data", "reset"}:
        raise EOFError(item["type"])  # close: the edge goes away
    content = item["content"] if item["type"] == "data" else ""
    return Entry(item["type"], content, item.get("seq", ""), time.monotonic())


def from_event(event: Json) -> Entry:
    """Read a Server-Sent Event."""
    kind = event.get("event", "data")
    return Entry(kind, event["data"] if kind == "data" else "", event.get("id", ""), time.monotonic())
