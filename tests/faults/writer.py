"""Publishers under fault: every message has a content and a key of its own, and is tried until it is acknowledged."""

import http.client
import threading
import time
from collections.abc import Sequence
from itertools import count

from tests.cluster.clients import Connection, Json
from tests.faults.checker import Ledger

RETRY_PAUSE = 0.005
_numbers = count(1)


class Writer(threading.Thread):
    """Publishes to its channels in turn, over HTTP, in arrays of `batch`, until told to stop.

    `refused` holds the seconds until each 503 came. A writer that `gives_up` does not repeat what was refused.
    """

    def __init__(
        self, port: int, channels: Sequence[str], ledger: Ledger, *, batch: int, pause: float, gives_up: bool = False
    ) -> None:
        super().__init__(name="writer", daemon=True)
        self.over = threading.Event()
        self.refused: list[float] = []
        self.error: BaseException | None = None
        self._post = Posting(port)
        self._channels = channels
        self._ledger = ledger
        self._batch = batch
        self.pause = pause
        self._gives_up = gives_up

    def run(self) -> None:
        """Publish; never dies silently."""
        try:
            for turn in count():
                if self.over.is_set():
                    break
                self._publish(self._messages(turn))
                self.over.wait(self.pause)
        except Exception as error:
            self.error = error
        finally:
            self._post.close()

    def _messages(self, turn: int) -> list[Json]:
        channel = self._channels[turn % len(self._channels)]
        numbers = [next(_numbers) for _ in range(self._batch)]
        return [{"id": channel, "content": f"message {number}", "key": f"key-{number}"} for number in numbers]

    def _publish(self, messages: list[Json]) -> None:
        self._ledger.tried.update(message["content"] for message in messages)
        while messages and not self.over.is_set():
            began = time.monotonic()
            results = self._post(messages)
            if results is None:
                self.refused.append(time.monotonic() - began)
                results = [{}] * len(messages)
            messages = self._not_taken(messages, results)
            if messages and self._gives_up:
                return
            if messages:
                self.over.wait(RETRY_PAUSE)

    def _not_taken(self, messages: list[Json], results: list[Json]) -> list[Json]:
        for message, result in zip(messages, results, strict=True):
            if "seq" in result:
                self._ledger.acknowledge(message["id"], result["seq"], message["content"])
        return [message for message, result in zip(messages, results, strict=True) if "seq" not in result]


class Posting:
    """A kept-alive connection to the publisher, opened again when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = Connection(port)

    def __call__(self, body: list[Json]) -> list[Json] | None:
        """Publish an array; return the results, or None if it was refused with 503 or the publisher was away."""
        try:
            answer = self._connection.post("/pub", body)
        except (OSError, http.client.HTTPException):
            self.close()
            self._connection = Connection(self._port)
            return None
        if answer.status == 503:
            return None
        assert answer.status == 200, answer
        results: list[Json] = answer.json
        return results

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
