"""Small blocking clients, one for each transport; every read has a deadline."""

import http.client
import json
import re
import select
import socket
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

HOST = "127.0.0.1"
READ_DEADLINE = 8.0
JSONP_CALL = re.compile(r"/\*\*/([\w$.]+)\((.*)\);\n?")

Json = dict[str, Any]


class Answer(NamedTuple):
    """One complete HTTP answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Json:
        """The body, read as JSON."""
        return json.loads(self.text)  # type: ignore[no-any-return]


def get(port: int, path: str, **query: str) -> Answer:
    """Do one GET and read the whole answer."""
    with Connection(port) as connection:
        connection.ask(path, query)
        return connection.answer()


def exchange(port: int, request: bytes, method: str = "GET") -> tuple[Answer, bool]:
    """Send raw bytes; return the answer and whether the server closed the connection after it."""
    with socket.create_connection((HOST, port), READ_DEADLINE) as raw:
        with suppress(ConnectionError):  # the server may have refused before it read everything
            raw.sendall(request)
        response = http.client.HTTPResponse(raw, method=method)
        response.begin()
        answer = _complete(response)
        raw.settimeout(0.2)
        try:
            closed = raw.recv(1) == b""
        except TimeoutError:
            closed = False
        except ConnectionError:
            closed = True
        return answer, closed


def _complete(response: http.client.HTTPResponse) -> Answer:
    with response:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read().decode())


class RefusedError(Exception):
    """The server answered a subscriber with an error status."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {answer.text}")
        self.status = answer.status


class Connection:
    """One connection to an edge or a publisher, to be closed by `with`."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection(HOST, port, timeout=READ_DEADLINE)
        self._response: http.client.HTTPResponse | None = None

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def begin(self) -> None:
        """Do what makes this a subscriber; nothing for a plain connection."""

    def close(self) -> None:
        """Close the connection, as a browser that leaves the page."""
        if self._response is not None:
            self._response.close()
        self._http.close()

    def ask(self, path: str, query: dict[str, str] | list[tuple[str, str]], **headers: str) -> None:
        """Send a GET; the answer is read later."""
        self._http.request("GET", f"{path}?{urlencode(query)}", headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """Send a POST with a JSON body and read the whole answer."""
        self._http.request("POST", path, json.dumps(body), {"Content-Type": "application/json"} | headers)
        return self.answer()

    def answer(self) -> Answer:
        """Read a whole answer."""
        return _complete(self._http.getresponse())

    def open(self) -> http.client.HTTPResponse:
        """Read the head of an answer that is held open; raises `RefusedError` if it is an error."""
        self._response = self._http.getresponse()
        if self._response.status != 200:
            raise RefusedError(_complete(self._response))
        return self._response

    @property
    def answered(self) -> bool:
        """Whether something came that was not read yet."""
        return bool(select.select([self._http.sock], [], [], 0)[0])

    def send_raw(self, data: bytes) -> None:
        """Send bytes behind the request."""
        self._http.sock.sendall(data)


class StreamClient(Connection):
    """The stream: one JSON object a line. `with` enters when it was welcomed."""

    def __init__(self, port: int, *channels: str, path: str = "/sub", **query: str) -> None:
        super().__init__(port)
        self._channels = channels
        self._path = path
        self._query = list(query.items())
        self.welcomes: list[Json] = []

    def begin(self) -> None:
        """Subscribe, and read one welcome for each channel."""
        self.ask(self._path, [("id", channel) for channel in self._channels] + self._query)
        self._lines = self.open()
        self.welcomes = [self.next_object() for _ in self._channels]
        assert [one["type"] for one in self.welcomes] == ["welcome"] * len(self._channels)

    def next_object(self) -> Json:
        """Read the next object; empty lines are heartbeats. Raises EOFError at the end of the stream."""
        while line := self._lines.readline():
            if line.strip():
                return json.loads(line)  # type: ignore[no-any-return]
        raise EOFError

    def receive(self) -> str:
        """Read objects until one carries a message; return its content."""
        while (item := self.next_object())["type"] != "data":
            assert item["type"] == "reset", item
        return str(item["content"])


class SseClient(Connection):
    """Server-Sent Events. `with` enters when it was welcomed."""

    def __init__(self, port: int, channel: str, path: str = "/sub", since: str = "", **query: str) -> None:
        super().__init__(port)
        self._query = {"id": channel} | query
        self._path = path
        self._headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": since} if since else {})
        self.welcome: dict[str, str] = {}

    def begin(self) -> None:
        """Subscribe, and read the welcome."""
        self.ask(self._path, self._query, **self._headers)
        self._lines = self.open()
        self.welcome = self.next_event()
        assert self.welcome["event"] == "welcome"

    def next_event(self) -> dict[str, str]:
        """Read the next event that has data, as a browser would dispatch it."""
        fields: dict[str, list[str]] = {}
        while line := self._lines.readline().decode():
            if line != "\n":
                name, _, value = line.rstrip("\n").partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
            elif "data" in fields:
                return {name: "\n".join(values) for name, values in fields.items()}
            else:
                fields = {}
        raise EOFError

    def receive(self) -> str:
        """Read events until one carries a message; return its data."""
        while (event := self.next_event()).get("event", "message") != "message":
            assert event["event"] == "reset", event
        return event["data"]


class PollClient(Connection):
    """A long-poll: `with` sends the request and does not wait, `receive` reads the answer."""

    def __init__(self, port: int, channel: str, path: str = "/sub") -> None:
        super().__init__(port)
        self._path = path
        self._query = {"id": channel} | ({"transport": "poll"} if path == "/sub" else {})

    def begin(self) -> None:
        """Send the request."""
        self.ask(self._path, self._query)

    def batch(self) -> Json:
        """Read the answer."""
        return self.answer().json

    def receive(self) -> str:
        """Read the answer; return the content of its first message."""
        return str(next(item for item in self.batch()["messages"] if item["type"] == "data")["content"])


class JsonpClient(PollClient):
    """JSONP: a long-poll whose answer is a call of the page's function."""

    def __init__(self, port: int, channel: str, path: str = "/sub") -> None:
        super().__init__(port, channel, path)
        self._query = {"id": channel, "callback": "page.show"}

    def batch(self) -> Json:
        """Read the argument of the call."""
        answer = self.answer()
        call = JSONP_CALL.fullmatch(answer.text)
        assert call is not None, answer
        assert call[1] == "page.show"
        return json.loads(call[2])  # type: ignore[no-any-return]


Subscriber = StreamClient | SseClient | PollClient | JsonpClient


def poll(port: int, channel: str, **query: str) -> Json:
    """Do one whole long-poll; return its batch."""
    return get(port, "/poll", id=channel, **query).json
