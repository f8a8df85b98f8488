"""Fan-out: what one read from Redis brings for a channel is sent to each of its subscribers in one write.

The messages are encoded once for each framing. A subscriber of several channels gets the messages of all of them in one
write, too, and so does a poller: its answer holds everything that is on its way.

To write to 10,000 subscribers takes a tenth of a second, and no other channel may wait that long. So one turn of the
event loop writes for TURN_BUDGET seconds (common/tasks.py). A `Job` (edge/state.py) is the messages of one channel and
the seats that were attached to it when the job began; the jobs proceed alternately, SEATS_PER_STEP seats at a time.
These rules keep every subscriber's messages in order and complete:

F1  A channel has one job at a time. The messages that arrive meanwhile are collected and become its next job.
F2  A job writes to the seats that were attached when it began. No seat enters a channel between the receipt of a
    message and the beginning of its job (H3), so a newcomer's first message comes with the next job.
F3  A poll is not answered "nothing new" while one of its channels has a job or collected messages (`is_busy`).
F4  A seat that was detached and attached again during a job is not meant by that job: `attached_at_job` shows it.
F5  Before a seat's channels change, `flush_to` writes what is on its way to the seat, and the jobs note in `done_for`
    to pass it by. So its position on each channel is the one at which that channel's job ends.
F6  The first job that comes to a seat of several channels writes the messages of all their jobs, and the other jobs
    note the seat in `done_for`. A job owes its messages to a seat that was attached before it and is not in `done_for`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Literal

from common.logs import get_logger
from common.tasks import TURN_BUDGET, TurnBudget
from edge.chain import EMPTY
from edge.counters import ANSWERED, CloseReason, Counters
from edge.engine.absences import Absences
from edge.engine.seats import Seats
from edge.framing.base import Batch, Bundle, Encoded, Framing
from edge.framing.items import Item, ItemKind, reset_item, stamp
from edge.state import Channel, Job, PendingAttach, Seat

SEATS_PER_STEP = 64  # seats of one job before the next job proceeds; a turn has as many steps as its budget allows

Policy = Literal["disconnect", "latest"]


class FanOut:
    """Collects items by channel, and writes them to the channel's seats.

    `call_later` is the event loop's. `sign` puts a poll's session into its answer. `age` returns how many seconds
    before a time of `clock` Redis made a tag, or None if that is not known. `flush_after` is how many seconds messages
    are collected, 0 for one read from Redis.
    """

    def __init__(
        self,
        seats: Seats,
        absences: Absences,
        counters: Counters,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        *,
        sign: Callable[[Seat, bytes], bytes] = lambda seat, answer: answer,
        age: Callable[[int, float], float | None] = lambda tag, now: None,
        flush_after: float = 0.0,
        policy: Policy = "disconnect",
    ) -> None:
        self.on_answered: Callable[[Seat], None] = lambda seat: None  # upward: a poll's connection is free again
        self.on_begun: Callable[[Channel], None] = lambda channel: None  # upward: newcomers may enter the channel
        self.jobs_begun = 0
        self._seats = seats
        self._absences = absences
        self._counters = counters
        self._clock = clock
        self._call_later = call_later
        self._sign = sign
        self._age = age
        self._flush_after = flush_after
        self._policy = policy
        self._dirty: list[Channel] = []  # channels with collected items
        self._jobs: deque[Job] = deque()  # the one to proceed next comes first
        self._is_due = False  # a call of `_on_due` is scheduled
        self._log = get_logger()

    def add(self, channel: Channel, item: Item) -> None:
        """Collect an item for all subscribers of a channel; `flush` writes it."""
        if not isinstance(channel.fresh, list):
            channel.fresh = []
            self._dirty.append(channel)
        channel.fresh.append(item)

    def flush(self) -> None:
        """Write what is collected, as far as the budget of one turn allows; the rest follows in the next turns."""
        if self._flush_after and self._dirty:
            self._go_on_after(self._flush_after)
        else:
            self._work()

    def finish(self) -> None:
        """Write everything now, without a budget, because the edge stops."""
        while self._dirty or self._jobs:
            self._begin_jobs()
            while self._jobs:
                self._step()

    def flush_to(self, seat: Seat) -> None:
        """Write to one seat now what is on its way to it (F5); like any write, that may end the seat."""
        for channel in seat.channels:
            job = self._running_job(channel)
            if job is not None and seat not in job.seats[job.next :]:
                job.done_for.add(seat)  # the job has come to it already
        self._write_joint(seat)

    def _running_job(self, channel: Channel) -> Job | None:
        """Return a channel's job; collected messages become one if it has none."""
        if channel.fresh and channel.job is None:
            self._begin(channel)
            self._go_on_after(0)
        return channel.job

    def is_busy(self, seat: Seat) -> bool:
        """Say whether messages are on their way to one of a seat's channels."""
        if not self._jobs and not self._dirty:
            return False  # as nearly always: a seat has many channels
        return any(channel.job is not None or channel.fresh for channel in seat.channels)

    def _go_on_after(self, seconds: float) -> None:
        if not self._is_due:
            self._is_due = True
            self._call_later(seconds, self._on_due)

    def _on_due(self) -> None:
        self._is_due = False
        self._work()

    def _work(self) -> None:
        """Write for one turn."""
        if not self._dirty and not self._jobs:
            return
        self._begin_jobs()
        budget = TurnBudget(self._clock, TURN_BUDGET)
        while self._jobs:
            job = self._step()
            if job is not None:
                self._measure(job, self._clock())
            if budget.is_spent:
                break
        if self._jobs or self._dirty:
            self._go_on_after(0)

    def _begin_jobs(self) -> None:
        """Begin a job for each channel that has collected messages and no job; other channels follow later (F1)."""
        for channel in self._dirty:
            if channel.job is None and channel.fresh:
                self._begin(channel)
        self._dirty.clear()

    def _begin(self, channel: Channel) -> None:
        items, channel.fresh = list(channel.fresh), EMPTY
        channel.sent_at = self._clock()
        self.jobs_begun += 1
        if channel.seats:
            channel.job = Job(channel, items, self.jobs_begun)
            self._jobs.append(channel.job)
        if channel.newcomers is not None:
            self._send_unstored(channel, items)
        self.on_begun(channel)

    def _send_unstored(self, channel: Channel, items: list[Item]) -> None:
        """Send what is in no log to the seats that are behind: they are given the rest from there."""
        unstored = [item for item in items if not item.seq]
        for seat in list(channel.behind) if unstored else ():
            if seat.framing is not None and not seat.framing.single_response:
                self.deliver(seat, unstored)

    def _step(self) -> Job | None:
        """Write the first job's messages to its next few seats; return the job if that completes it."""
        job = self._jobs[0]
        seats = job.seats if len(job.seats) <= SEATS_PER_STEP else job.seats[job.next : job.next + SEATS_PER_STEP]
        if job.done_for:
            seats = [seat for seat in seats if seat not in job.done_for]
        job.next += SEATS_PER_STEP
        try:
            for seat in self._seats.broadcast(seats, job.encode, len(job.items), job.number):
                self._write_aside(job, seat)
        except Exception:
            self._log.exception("messages could not be written; subscribers are disconnected", channel=job.channel.name)
            for seat in seats:  # better than a hole: a client that reconnects with its position misses nothing
                self._seats.abort(seat, CloseReason.ERROR)
        if job.next < len(job.seats):
            self._jobs.rotate(-1)
            return None
        self._jobs.popleft()
        job.channel.job = None
        if job.channel.fresh:
            self._dirty.append(job.channel)
        return job

    def _measure(self, job: Job, now: float) -> None:
        """Observe how long a job lasted, and how old its first message was when the last subscriber had it."""
        self._counters.fanout.observe(now - job.channel.sent_at)
        first = job.items[0]
        if first.seq and first.kind is ItemKind.DATA:
            age = self._age(int(first.seq.rpartition("-")[2]), now)
            if age is not None:
                self._counters.latency.observe(age)

    def _write_aside(self, job: Job, seat: Seat) -> None:
        """Write to a seat that is not on the fast path, if the job means it (F4)."""
        if seat.attached_at_job >= job.number or job.channel not in seat.channels:
            return
        framing, pending = seat.framing, seat.pending
        if pending is not None and isinstance(pending, PendingAttach):
            job.done_for.add(seat)
            pending.items += job.items
        elif seat.positions is not None or len(seat.channels) > 1:
            self._write_joint(seat)
        elif framing is not None and framing.session_size:
            self._send(seat, framing, job.items, *job.pieces(framing))
        elif framing is not None:
            self._send(seat, framing, job.items, job.encode(framing))

    def _write_joint(self, seat: Seat) -> None:
        """Write to a seat what is on its way to it on all of its channels, in one write (F6)."""
        jobs = [channel.job for channel in seat.channels if channel.job is not None and channel.job.owes(seat)]
        jobs.sort(key=attrgetter("number"))
        for job in jobs:
            job.done_for.add(seat)
        items = [item for job in jobs for item in job.items]
        if not items or seat.framing is None:
            return
        if seat.positions is not None:
            self.deliver(seat, items)
        else:
            self._send(seat, seat.framing, items, b"".join([job.encode(seat.framing) for job in jobs]))

    def deliver(self, seat: Seat, items: list[Item], bundle: Bundle | None = None) -> None:
        """Write items to one seat, with the cursor that is valid after them; `bundle` is the same for many seats."""
        framing = seat.framing
        if framing is None:
            return  # it was aborted while others were written to
        if bundle is not None and seat.positions is None:
            data, shared = bundle.pieces(framing)
            self._send(seat, framing, items, data, shared)
        else:
            items = stamp(items, seat.positions)
            cursor = items[-1].cursor if items and seat.positions is not None else seat.cursor
            self._send(seat, framing, items, framing.encode(items, cursor))

    def deliver_batch(self, seat: Seat, batch: Batch, items: list[Item]) -> None:
        """Answer a poll that was behind: with what was read for it, and then with these items."""
        framing = seat.framing
        if framing is None:
            return
        if items:
            batch.add(Encoded(framing.part(items), len(items)))
            stamp(items, seat.positions)
        data, *shared = batch.answer(framing, seat.cursor)
        self._counters.delivered(framing.transport, batch.count, len(data) + sum(map(len, shared)))
        self.answer(seat, data, shared)

    def _send(self, seat: Seat, framing: Framing, items: list[Item], data: bytes, shared: Sequence[bytes] = ()) -> None:
        """Write the bytes of some items to a seat; if others share them, those that are its own come first."""
        size = len(data) + sum(map(len, shared)) if shared else len(data)
        self._counters.delivered(framing.transport, len(items), size)
        if framing.single_response:
            self.answer(seat, data, shared)
        elif self._policy == "latest" and self._seats.outbox.is_choked(seat):
            self._skip_to_newest(seat, framing, items[-1])
        else:
            self._seats.write(seat, data)

    def _skip_to_newest(self, seat: Seat, framing: Framing, newest: Item) -> None:
        """Replace what is parked for a slow reader by a reset of each channel and the newest message."""
        self._counters.skipped_total += 1
        resets = [self._reset(seat, channel, newest) for channel in seat.channels]
        resets.sort(key=lambda reset: reset.channel == newest.channel)  # the message's own channel comes last
        self._seats.replace_parked(seat, framing.encode(stamp([*resets, newest], seat.positions), newest.cursor))

    def _reset(self, seat: Seat, channel: Channel, newest: Item) -> Item:
        """Return the reset of one channel of a slow reader, and let that channel's job pass it by."""
        if channel.name == newest.channel:
            position = channel.position_before(newest.seq)
        else:
            job = self._running_job(channel)
            if job is not None:
                job.done_for.add(seat)
            position = channel.delivered_position
        return reset_item(channel.name, position)

    def answer(self, seat: Seat, data: bytes, shared: Sequence[bytes]) -> None:
        """Answer a poll; its client counts as connected for a while, and is expected back."""
        framing = seat.framing
        if framing is not None and framing.session_size:
            data = self._sign(seat, data)
        self._absences.left(seat)
        if framing is not None and framing.closing:
            self._absences.connection_ends(seat)
            self._seats.close(seat, data, ANSWERED, shared)
            return
        self._seats.detach(seat, ANSWERED)
        self._seats.write(seat, data, shared)
        self.on_answered(seat)
