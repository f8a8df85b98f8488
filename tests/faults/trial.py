"""A trial: clients on many transports and edges, publishers, a fault in between, and the checker at the end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self

from tests.cluster.processes import Cluster
from tests.cluster.waiting import until
from tests.faults.checker import END, Checker, Ledger
from tests.faults.follower import TRANSPORTS, Follower
from tests.faults.writer import Posting, Writer

CATCH_UP = 20.0  # seconds until every client has the last message; a deadline, not a promise
END_PAUSE = 1.0


class Summary(NamedTuple):
    """What the clients of a trial saw, together; `slowest_refusal` is in seconds."""

    acknowledged: int
    delivered: int
    resets: int
    drops: int
    refused_polls: int
    refused_publishes: int
    slowest_refusal: float


class Trial:
    """Runs followers and writers on a cluster while a `with` block breaks things, and checks what they saw."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ledger = Ledger()
        self.followers: list[Follower] = []
        self.writers: list[Writer] = []
        self._ends = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for thread in (*self.writers, *self.followers):
            thread.over.set()
        self.cluster.stop()  # ends every connection, and with it every wait of a follower
        for thread in (*self.writers, *self.followers):
            thread.join()

    @property
    def channels(self) -> list[str]:
        """The channels that a client follows."""
        return sorted({follower.log.channel for follower in self.followers})

    def follow(self, *channels: str, transports: Sequence[str] = TRANSPORTS, edges: str = "ab") -> list[Follower]:
        """Put one client of each transport on each edge and channel; return when all are attached."""
        ports = [self.cluster.edge(name).port for name in edges]
        new = [
            Follower(transport, ports[turn:] + ports[:turn], channel)
            for channel in channels
            for transport in transports
            for turn in range(len(ports))
        ]
        for follower in new:
            follower.start()
        for follower in new:
            assert follower.attached.wait(10), (follower.name, follower.error)
        self.followers += new
        return new

    @contextmanager
    def writing(
        self, *, batch: int = 1, pause: float = 0.003, channels: Sequence[str] = (), gives_up: bool = False
    ) -> Iterator[Writer]:
        """Publish to the followed channels while the block runs, from the moment the first message is out."""
        channels = channels or self.channels
        writer = Writer(self.cluster.publisher.port, channels, self.ledger, batch=batch, pause=pause, gives_up=gives_up)
        self.writers.append(writer)
        before = self.ledger.count
        writer.start()
        until(lambda: self.ledger.count > before or writer.error)
        try:
            yield writer
        finally:
            writer.over.set()
            writer.join()
            assert writer.error is None, writer.error

    def publish(self, channel: str, *contents: str) -> list[str]:
        """Publish some messages now; return their positions."""
        post = Posting(self.cluster.publisher.port)
        self.ledger.tried.update(contents)
        try:
            body = [
                {"id": channel, "content": content, "key": content[:40].strip().replace(" ", "-")}
                for content in contents
            ]
            results = until(lambda: post(body))
        finally:
            post.close()
        for content, result in zip(contents, results, strict=True):
            self.ledger.acknowledge(channel, result["seq"], content)
        return [result["seq"] for result in results]

    def finish(self, deadline: float = CATCH_UP) -> Summary:
        """End every channel, wait until every client has its last message, and check all logs."""
        last = time.monotonic() + deadline
        while (left := self._unfinished()) and time.monotonic() < last:
            for channel in left:  # again if need be: the first may be the one that shows a fault, and lie under a reset
                self.publish(channel, f"{END}{channel}-{next(self._ends)}")
            with suppress(AssertionError):
                until(lambda: not self._unfinished(), END_PAUSE)
        assert not self._unfinished(), f"still waiting for the end of {self._unfinished()}"
        assert not [f"{one.name}: {one.error!r}" for one in self.followers if one.error]
        violations = Checker(self.ledger).check([one.log for one in self.followers])
        assert not violations, "\n".join([f"{len(violations)} violations", *violations[:20]])
        return self._summary()

    def _unfinished(self) -> set[str]:
        return {one.log.channel for one in self.followers if not (one.finished.is_set() or one.error)}

    def _summary(self) -> Summary:
        refusals = [seconds for writer in self.writers for seconds in writer.refused]
        return Summary(
            self.ledger.count,
            sum(len(one.messages) for one in self.followers),
            sum(one.resets for one in self.followers),
            sum(one.drops for one in self.followers),
            sum(one.refused for one in self.followers),
            len(refusals),
            round(max(refusals, default=0.0), 3),
        )
