"""The outbox counts what seats share once, whatever is parked, sent, replaced and forgotten, in any order."""

from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.engine.chunks import REFERENCE_BYTES
from edge.engine.outbox import SHORT_ANSWER, Limits, Outbox
from edge.state import Seat
from tests.edge.edge_without_redis import FakeClock
from tests.edge.seats_on_sockets import unsent

SHARED = [b"a" * 3, b"b" * 7, b"c" * 50, b"d" * 400]  # what several seats may get
SEATS = strategies.integers(0, 3)
CHUNKS = strategies.integers(0, len(SHARED) - 1)
Write = list[bytes]  # its chunks


class AnyOrder(RuleBasedStateMachine):
    """Four seats, and beside each the writes that wait there and how much of the first is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox(Limits(), FakeClock())
        self.seats = [Seat(number) for number in range(4)]
        self.writes: list[list[Write]] = [[], [], [], []]
        self.sent = [0, 0, 0, 0]

    @rule(number=SEATS, chunk=CHUNKS, own=strategies.integers(0, 20), share=strategies.floats(0, 1, exclude_max=True))
    def write(self, number: int, chunk: int, own: int, share: float) -> None:
        """Something shared is written, maybe behind something of its own; the kernel takes a share if nothing waits."""
        chunks = [b"%d" % number * own, SHARED[chunk]] if own else [SHARED[chunk]]
        if self.writes[number]:
            self.outbox.append(self.seats[number], *chunks)
        else:
            self.sent[number] = int(sum(map(len, chunks)) * share)
            self.outbox.park(self.seats[number], self.sent[number], *chunks)
        self.writes[number].append(chunks)

    @rule(number=SEATS, share=strategies.floats(0, 1))
    def flush(self, number: int, share: float) -> None:
        """The kernel takes a share of what waits."""
        if not self.writes[number]:
            return
        count = int(len(self.due(number)) * share)
        assert self.outbox.accept(self.seats[number], count) is (count == len(self.due(number)))
        self.sent[number] += count
        while self.writes[number] and self.sent[number] >= (size := sum(map(len, self.writes[number][0]))):
            self.sent[number] -= size
            del self.writes[number][0]

    @rule(number=SEATS, chunk=CHUNKS)
    def replace(self, number: int, chunk: int) -> None:
        """What waits is replaced, but for a write that is begun; the first may have been begun."""
        if not self.writes[number]:
            return
        kept = self.seats[number].send_buffer
        assert kept is not None
        is_begun = self.sent[number] > 0 or kept.is_begun
        self.outbox.replace(self.seats[number], SHARED[chunk])
        self.writes[number] = [*self.writes[number][:is_begun], [SHARED[chunk]]]

    @rule(number=SEATS)
    def abort(self, number: int) -> None:
        """The seat ends."""
        self.outbox.forget(self.seats[number])
        self.writes[number], self.sent[number] = [], 0

    def due(self, number: int) -> bytes:
        """Return what a seat shall still get."""
        return b"".join(chunk for write in self.writes[number] for chunk in write)[self.sent[number] :]

    def held(self, number: int) -> list[bytes]:
        """Return the chunks of which something is to be sent."""
        chunks, before = [chunk for write in self.writes[number] for chunk in write], self.sent[number]
        while chunks and before >= len(chunks[0]):
            before -= len(chunks.pop(0))
        return chunks

    @invariant()
    def each_gets_its_bytes_in_order(self) -> None:
        """S4: nothing is lost, repeated, or another's."""
        for number, seat in enumerate(self.seats):
            assert unsent(seat) == self.due(number)
            assert (seat.send_buffer is None) is (not self.writes[number])
            assert seat.send_buffer is None or seat.send_buffer.size == len(self.due(number))

    @invariant()
    def each_chunk_counts_once(self) -> None:
        """O4: by object, and what refers to it by each reference; nothing is left when nothing waits."""
        held = [chunk for number in range(4) for chunk in self.held(number)]
        assert self.outbox.parked_bytes == sum(map(len, {id(chunk): chunk for chunk in held}.values()))
        assert self.outbox._chunks.memory == self.outbox.parked_bytes + REFERENCE_BYTES * len(held)
        assert set(self.outbox.parked) == {seat for seat in self.seats if seat.send_buffer is not None}

    @invariant()
    def what_is_held_needs_no_room(self) -> None:
        """O5: an answer that somebody has parked is there already."""
        held = {id(chunk) for number in range(4) for chunk in self.held(number)}
        size = max(Limits().total_bytes, SHORT_ANSWER)
        assert all(self.outbox.has_room(size, chunk) is (id(chunk) in held) for chunk in SHARED)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
