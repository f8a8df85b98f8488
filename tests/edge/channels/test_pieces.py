"""Pieces: who gets what of a read, in whose turn, and how many bytes are under way."""

import gc
from collections.abc import Callable
from itertools import pairwise

import pytest

from common.position import Position
from common.scripts.results import SyncQuery, SyncResult
from edge.chain import Gap
from edge.channels.kept import KEPT_SECONDS
from edge.channels.pieces import MAX_READS, Piece, PieceReader
from edge.channels.sync import SyncRequest
from edge.framing.http import Variant
from edge.framing.transports import framing_for
from edge.state import Channel
from tests.edge.usual_log import at, channel_at, log, stored

LARGEST = 1_000_000
POLL = framing_for("poll", Variant())


class Lane:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[SyncRequest] = []

    def ask(self, request: SyncRequest) -> None:
        """Keep a request."""
        self.asked.append(request)

    def forget(self) -> None:
        """Drop nothing."""

    @property
    def queries(self) -> list[SyncQuery]:
        """What it was asked for."""
        return [request.query for request in self.asked]


class Subscriber:
    """Waits for one piece after the other."""

    def __init__(self, reader: PieceReader) -> None:
        self.reader = reader
        self.got: list[Piece | Gap | None] = []
        self.waits_for: tuple[Channel, Position] | None = None

    def wait(self, channel: Channel, since: Position) -> None:
        """Ask for a piece."""
        self.waits_for = channel, since
        self.reader.ask(self, channel, since)

    def awaits(self, channel: Channel, since: Position) -> bool:
        """Say whether it still waits for it."""
        return self.waits_for == (channel, since)

    def give(self, outcome: Piece | Gap | None) -> None:
        """Take it."""
        self.waits_for = None
        self.got.append(outcome)

    @property
    def seqs(self) -> list[list[str]]:
        """The positions of the messages in each piece."""
        return [[item.seq for item in piece.items] for piece in self.got if isinstance(piece, Piece)]


class Bench:
    """A reader of pieces with its lane, and what it has left for later."""

    def __init__(self) -> None:
        self.lane, self.later = Lane(), list[Callable[[], None]]()
        self.now, self.pace = 0.0, 0.0
        self.reader = PieceReader(self.lane, self.clock, self.later.append, largest=LARGEST)

    def clock(self) -> float:
        """Return the time, which passes at a pace with each look."""
        self.now += self.pace
        return self.now

    def subscriber(self) -> Subscriber:
        """Return one more subscriber."""
        return Subscriber(self.reader)

    def answer(self, index: int, result: SyncResult) -> None:
        """Answer a read, and do what is left for later."""
        self.lane.asked[index].done(result)
        self.work()

    def work(self) -> None:
        """Do what was left for later."""
        while self.later:
            self.later.pop(0)()


@pytest.fixture
def bench() -> Bench:
    """Return a reader of pieces."""
    return Bench()


def seqs(first: int, last: int) -> list[str]:
    """Return the positions from one offset to another."""
    return [str(at(offset)) for offset in range(first, last + 1)]


def test_those_at_one_position_share_a_piece(bench: Bench) -> None:
    """Whether they ask before the read or while it is under way; it is encoded once."""
    channel, several = channel_at(9), [bench.subscriber() for _ in range(500)]
    for one in several:
        one.wait(channel, at(3))
    assert bench.lane.queries == [SyncQuery("room", 3)]
    bench.answer(0, SyncResult(at(9), log(4, 7)))
    assert {id(one.got[0]) for one in several} == {id(several[0].got[0])}
    assert several[0].seqs == [seqs(4, 7)]
    piece = several[0].got[0]
    assert isinstance(piece, Piece)
    assert piece.end == at(7)
    assert piece.encode(POLL) is piece.encode(POLL)


def test_one_read_serves_all_positions_that_lie_in_it(bench: Bench) -> None:
    """Those further on get their part of it; who is beyond it, or on another branch, gets a read of its own."""
    channel = channel_at(9)
    places = [at(5), at(3), at(6), at(7), Position(4, 999)]
    blockers = [bench.subscriber() for _ in range(MAX_READS)]
    for number, one in enumerate(blockers):
        one.wait(Channel(f"other-{number}"), at(1))
    several = [bench.subscriber() for _ in places]
    for one, place in zip(several, places, strict=True):
        one.wait(channel, place)
    bench.answer(0, SyncResult(at(1), []))
    assert bench.lane.queries[-1] == SyncQuery("room", 3)
    bench.answer(MAX_READS, SyncResult(at(9), log(4, 7)))
    assert [one.seqs for one in several] == [[seqs(6, 7)], [seqs(4, 7)], [seqs(7, 7)], [], []]
    assert bench.lane.queries[-1].offset in {4, 7}


def test_nobody_is_passed_over_twice(bench: Bench) -> None:
    """However many come with older positions, who waits first is served by the second read at the latest."""
    channel = channel_at(1000)
    blockers = [bench.subscriber() for _ in range(MAX_READS)]
    for number, one in enumerate(blockers):
        one.wait(Channel(f"other-{number}"), at(1))
    first = bench.subscriber()
    first.wait(channel, at(900))
    for offset in (800, 700):
        bench.subscriber().wait(channel, at(offset))
    bench.answer(0, SyncResult(at(1), []))
    bench.answer(1, SyncResult(at(1), []))
    bench.answer(2, SyncResult(at(1), []))
    assert [query.offset for query in bench.lane.queries[MAX_READS:]] == [700, 900, 800]


def test_channels_take_turns(bench: Bench) -> None:
    """One that many positions are read of leaves every second read to another."""
    busy, quiet = Channel("busy"), Channel("quiet")
    for number in range(MAX_READS):
        bench.subscriber().wait(Channel(f"other-{number}"), at(1))
    for offset in range(10, 0, -1):
        bench.subscriber().wait(busy, at(offset))
    bench.subscriber().wait(quiet, at(5))
    for index in range(3):
        bench.answer(index, SyncResult(at(1), []))
    assert [query.channel for query in bench.lane.queries[MAX_READS:]] == ["busy", "quiet", "busy"]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (SyncResult(at(9), log(5, 9)), Gap.UNPROVEN),
        (SyncResult(at(2), []), Gap.UNPROVEN),
        (SyncResult(at(3), []), Gap.BEHIND),
    ],
)
def test_a_gap_is_told(bench: Bench, result: SyncResult, outcome: Gap) -> None:
    """Never is anything left out in silence."""
    one = bench.subscriber()
    one.wait(channel_at(9), at(3))
    bench.answer(0, result)
    assert one.got == [outcome]


def test_a_log_that_cannot_be_read_proves_nothing(bench: Bench) -> None:
    """It keeps no other channel waiting: its subscribers are told of a gap."""
    one = bench.subscriber()
    one.wait(channel_at(9), at(3))
    bench.lane.asked[0].done(None)
    bench.work()
    assert one.got == [Gap.UNPROVEN]
    assert bench.reader._bytes == 0


def test_who_misses_nothing_is_told_so(bench: Bench) -> None:
    """The channel has come to where the subscriber stands."""
    one = bench.subscriber()
    one.wait(channel_at(3), at(3))
    bench.answer(0, SyncResult(at(3), []))
    assert one.got == [None]


def test_who_waits_no_longer_costs_no_read(bench: Bench) -> None:
    """A read is not sent if all have gone, and whoever has gone gets nothing."""
    gone, here = bench.subscriber(), bench.subscriber()
    gone.wait(channel_at(9), at(3))
    gone.waits_for = None
    assert not bench.lane.asked[0].is_awaited()
    channel = channel_at(9)
    gone.wait(channel, at(3))
    here.wait(channel, at(3))
    gone.waits_for = None
    assert bench.lane.asked[1].is_awaited()
    bench.answer(1, SyncResult(at(9), log(4, 9)))
    assert (gone.got, here.seqs) == ([], [seqs(4, 9)])


def test_no_more_is_asked_for_than_there_is_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes count from the question on, until nobody needs the piece any more: then the next one has its turn."""
    monkeypatch.setattr("edge.channels.pieces.MAX_BYTES_UNDER_WAY", 1_500_000)
    channel, first, second = channel_at(9), bench.subscriber(), bench.subscriber()
    first.wait(channel, at(3))
    second.wait(channel, at(7))
    assert not bench.reader.make_room()
    assert len(bench.lane.asked) == 1
    bench.answer(0, SyncResult(at(9), [stored(4, b"x" * 600_000)]))
    assert len(bench.lane.asked) == 1
    piece = first.got.pop()
    assert isinstance(piece, Piece)
    encoded = piece.encode(POLL)
    del piece
    bench.work()
    assert len(bench.lane.asked) == 1
    del encoded
    bench.work()
    assert bench.lane.queries[1:] == [SyncQuery("room", 7)]
    gc.collect()


def test_a_piece_larger_than_the_limit_is_read_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would ever get one."""
    monkeypatch.setattr("edge.channels.pieces.MAX_BYTES_UNDER_WAY", 10)
    bench.subscriber().wait(channel_at(9), at(3))
    bench.subscriber().wait(channel_at(9), at(3))
    assert len(bench.lane.asked) == 1


def test_a_turn_of_the_loop_gives_as_much_as_its_budget_allows(bench: Bench) -> None:
    """Then others have their turn, and the rest follows."""
    channel, several = channel_at(9), [bench.subscriber() for _ in range(3)]
    for one in several:
        one.wait(channel, at(3))
    bench.pace = 1.0
    bench.lane.asked[0].done(SyncResult(at(9), log(4, 9)))
    given = [0]
    while bench.later:
        bench.later.pop(0)()
        given.append(sum(len(one.got) for one in several))
    assert given[-1] == 3
    assert max(after - before for before, after in pairwise(given)) == 1


def test_who_comes_a_moment_later_gets_what_was_read(bench: Bench) -> None:
    """It is the same piece, and costs no read; a moment after the last use it is forgotten."""
    channel, first, second, third = channel_at(9), *[bench.subscriber() for _ in range(3)]
    first.wait(channel, at(3))
    bench.answer(0, SyncResult(at(9), log(4, 9)))
    bench.now += KEPT_SECONDS - 0.1
    assert not bench.reader.kept.tick()
    second.wait(channel, at(3))
    bench.work()
    assert second.got == first.got
    assert second.got[0] is first.got[0]
    bench.now += KEPT_SECONDS + 0.1
    bench.reader.kept.tick()
    third.wait(channel, at(3))
    assert len(bench.lane.asked) == 2


def test_what_has_expired_is_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is given to nobody after its time."""
    channel, first, second = channel_at(9), bench.subscriber(), bench.subscriber()
    monkeypatch.setattr("edge.channels.pieces.time.time", lambda: bench.now)
    first.wait(channel, at(8))
    bench.answer(0, SyncResult(at(9), [stored(9, b"x")._replace(expires=int(1000 * bench.now) + 500)]))
    bench.now += 0.5
    second.wait(channel, at(8))
    assert len(bench.lane.asked) == 2
