"""Fan-out: what was taken in one turn goes to each subscriber in one write.

All messages that one read from Redis brings for a channel are encoded once per framing and written together. A
subscriber of several channels gets those of all its channels in one write, too; so does a poller, whose answer then
holds everything that was waiting.

Writing to ten thousand subscribers takes a tenth of a second, and nobody else shall wait that long. So the work is cut
into slices of SLICE seconds: a `Job` is the messages of one channel and the seats that were there when it began, and
jobs take turns, a few seats at a time. What keeps the order:

F1  A channel has one job at a time. Messages that come meanwhile are collected and become its next job.
F2  A job writes to the seats that were there when it began. Nobody joins a channel between the taking of a message
    and the beginning of its job: newcomers wait for it, and start after it.
F3  A poll is not answered "nothing new" while its channel has a job or collected messages.
F4  A seat that left and came back during a job is not the one the job meant: it was attached after the job began.
F5  Before a seat's channels change it is settled: what runs towards it is written now, and the job, which may still
    have it on its list, passes it by. So it stands on each channel where that channel's job ends.
F6  The first job that comes to a seat of several channels takes the messages of its other channels along, and those
    jobs pass it by. A job owes such a seat its messages if it is younger than the seat and has not settled it.
"""

from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Literal

from common.logs import get_logger
from common.tasks import TURN_BUDGET, TurnBudget
from edge.chain import EMPTY
from edge.counters import ANSWERED, CloseReason, Counters
from edge.engine.seats import Seats
from edge.framing.base import Framing
from edge.framing.items import Item, ItemKind, reset_item, stamp
from edge.state import Channel, Job, PendingAttach, Seat

SEATS_PER_STEP = 64  # of one job before the next job gets its turn

Policy = Literal["disconnect", "latest"]


class FanOut:
    """Collects the items of a turn by channel, and writes them.

    `call_later` is the loop's; `sign` puts a poll's session into its answer; `age` tells how many seconds before a
    moment of `clock` Redis gave a tag, or None.
    """

    def __init__(
        self,
        seats: Seats,
        counters: Counters,
        clock: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
        *,
        sign: Callable[[Seat, bytes], bytes] = lambda seat, answer: answer,
        age: Callable[[int, float], float | None] = lambda tag, now: None,
        away_seconds: float,
        flush_after: float = 0.0,
        policy: Policy = "disconnect",
    ) -> None:
        self.on_answered: Callable[[Seat], None] = lambda seat: None  # upward: a poll's connection is free again
        self.on_begun: Callable[[Channel], None] = lambda channel: None  # upward: newcomers may enter the channel
        self.jobs_begun = 0
        self._seats = seats
        self._counters = counters
        self._clock = clock
        self._call_later = call_later
        self._sign = sign
        self._age = age
        self._away_seconds = away_seconds  # that a poller counts as connected after its answer
        self._flush_after = flush_after
        self._policy = policy
        self._dirty: list[Channel] = []
        self._jobs: deque[Job] = deque()
        self._is_due = False
        self._log = get_logger()

    def add(self, channel: Channel, item: Item) -> None:
        """Take an item that all subscribers of a channel shall get at the end of this turn."""
        if not isinstance(channel.fresh, list):
            channel.fresh = []
            self._dirty.append(channel)
        channel.fresh.append(item)

    def flush(self) -> None:
        """Write everything that was added, as far as one slice goes; the rest follows in the next turns."""
        if self._flush_after and self._dirty:
            self._go_on_after(self._flush_after)
        else:
            self._work()

    def finish(self) -> None:
        """Write everything now, however long it takes: the edge is going away."""
        while self._dirty or self._jobs:
            self._begin_jobs()
            while self._jobs:
                self._step()

    def flush_to(self, seat: Seat) -> None:
        """Write to one seat now what is on its way to it (F5); it may not survive that, as after any write."""
        for channel in seat.channels:
            job = self._running_job(channel)
            if job is not None:
                job.note_if_written(seat)
        self._write_joint(seat)

    def _running_job(self, channel: Channel) -> Job | None:
        """Return a channel's job; messages that only wait to be sent become one."""
        if channel.fresh and channel.job is None:
            self._begin(channel)
            self._go_on_after(0)
        return channel.job

    def is_busy(self, seat: Seat) -> bool:
        """Say whether messages are on their way to one of a seat's channels."""
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
        """Begin a job for each channel that has messages and no job yet; a busy one follows when that is done (F1)."""
        dirty, self._dirty = self._dirty, []
        for channel in dirty:
            if channel.job is None and channel.fresh:
                self._begin(channel)

    def _begin(self, channel: Channel) -> None:
        items, channel.fresh = list(channel.fresh), EMPTY
        channel.sent_at = self._clock()
        self.jobs_begun += 1
        if channel.seats:
            channel.job = Job(channel, items, self.jobs_begun)
            self._jobs.append(channel.job)
        self.on_begun(channel)

    def _step(self) -> Job | None:
        """Write one job's messages to its next few seats; return the job if it is done."""
        job = self._jobs.popleft()
        seats = job.seats if len(job.seats) <= SEATS_PER_STEP else job.seats[job.next : job.next + SEATS_PER_STEP]
        if job.done_for:
            seats = [seat for seat in seats if seat not in job.done_for]
        job.next += SEATS_PER_STEP
        try:
            for seat in self._seats.broadcast(seats, job.encode, len(job.items), job.number):
                self._write_aside(job, seat)
        except Exception:
            self._log.exception("messages could not be written; their subscribers go", channel=job.channel.name)
            for seat in seats:  # rather than on with a hole: who comes back with its position misses nothing
                self._seats.abort(seat, CloseReason.ERROR)
        if job.next < len(job.seats):
            self._jobs.append(job)
            return None
        job.channel.job = None
        if job.channel.fresh:
            self._dirty.append(job.channel)
        return job

    def _measure(self, job: Job, now: float) -> None:
        """Note how long a job took, and how old its first message was when the last subscriber had it."""
        self._counters.fanout.observe(now - job.channel.sent_at)
        first = job.items[0]
        if first.seq and first.kind is ItemKind.DATA:
            age = self._age(int(first.seq.rpartition("-")[2]), now)
            if age is not None:
                self._counters.latency.observe(age)

    def _write_aside(self, job: Job, seat: Seat) -> None:
        """Write to a seat that is not on the fast path, if it is still the one that the job meant (F4)."""
        if seat.attached_at_job >= job.number or job.channel not in seat.channels:
            return
        pending = seat.pending
        if pending is not None and isinstance(pending, PendingAttach):
            job.done_for.add(seat)
            pending.items += job.items
        elif len(seat.channels) > 1 or seat.positions is not None:
            self._write_joint(seat)
        elif seat.framing is not None:
            self._send(seat, seat.framing, job.encode(seat.framing), job.items)

    def _write_joint(self, seat: Seat) -> None:
        """Write to a seat in one go what is on its way to it on all of its channels (F6)."""
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
            self._send(seat, seat.framing, b"".join([job.encode(seat.framing) for job in jobs]), items)

    def deliver(self, seat: Seat, items: list[Item]) -> None:
        """Write items to one seat, each with the cursor that holds after it."""
        framing = seat.framing
        if framing is not None:  # else it went while the others were written to
            stamped = stamp(items, seat.positions)
            self._send(seat, framing, framing.encode(stamped, seat.cursor), stamped)

    def _send(self, seat: Seat, framing: Framing, data: bytes, items: list[Item]) -> None:
        self._counters.delivered(framing.transport, len(items), len(data))
        if framing.single_response:
            self.answer(seat, data)
        elif self._policy == "latest" and self._seats.is_choked(seat):
            self._skip_to_newest(seat, framing, items[-1])
        else:
            self._seats.write(seat, data)

    def _skip_to_newest(self, seat: Seat, framing: Framing, newest: Item) -> None:
        """Forget what is parked for a slow reader; it gets a reset of each channel and the newest message."""
        self._counters.skipped_total += 1
        resets = [self._reset(seat, channel, newest) for channel in seat.channels]
        resets.sort(key=lambda reset: reset.channel == newest.channel)  # its own comes right before it
        self._seats.replace_parked(seat, framing.encode(stamp([*resets, newest], seat.positions), newest.cursor))

    def _reset(self, seat: Seat, channel: Channel, newest: Item) -> Item:
        """Return the reset of one channel of a reader that gets nothing more of what is on its way."""
        if channel.name == newest.channel:
            position = channel.position_before(newest.seq)
        else:
            job = self._running_job(channel)
            if job is not None:
                job.done_for.add(seat)
            position = channel.delivered_position
        return reset_item(channel.name, position)

    def answer(self, seat: Seat, data: bytes) -> None:
        """Answer a poll: its client is away now, and expected back."""
        framing, now = seat.framing, self._clock()
        if framing is not None and framing.variant.session_size:
            data = self._sign(seat, data)
        for channel in seat.channels:
            channel.poller_left(now, now + self._away_seconds)
        if framing is not None and framing.variant.closing:
            self._seats.close(seat, data, ANSWERED)
            return
        self._seats.detach(seat, ANSWERED)
        self._seats.write(seat, data)
        self.on_answered(seat)
