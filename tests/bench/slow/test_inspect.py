"""What became of stuck readers, judged by snapshots of their server."""

from bench.slow.inspect import Snapshot, judge
from bench.system.memory import MIB


def test_the_cut_is_timed_by_what_the_edge_counts() -> None:
    """From its first parked bytes, when the kernel's own buffers are full, to the last reader it has cut."""
    none = (0, 0, 0)
    snapshots = [
        Snapshot(0, 200, 0, 0, none),
        Snapshot(5, 200, 0, 0, none),
        Snapshot(6, 200, MIB, 2 * MIB, none),
        Snapshot(12, 150, 3 * MIB, MIB, (50, 0, 0)),
        Snapshot(14, 100, MIB, 0, (90, 0, 10)),
    ]
    judged = judge(snapshots, 100)
    assert (judged.cut, judged.by_limit) == (100, (90, 0, 10))
    assert (judged.seconds_from_start, judged.seconds_from_parking) == (14, 8)
    assert (judged.parked, judged.growth, judged.kept) == (2 * MIB, 3 * MIB, MIB)


def test_a_reader_that_is_never_cut_has_no_time() -> None:
    """And another server is judged by its descriptors."""
    judged = judge([Snapshot(0, 200, 0), Snapshot(40, 200, MIB)], 100)
    assert (judged.cut, judged.seconds_from_start, judged.seconds_from_parking) == (0, None, None)
    judged = judge([Snapshot(0, 200, 0), Snapshot(40, 100, MIB)], 100)
    assert (judged.cut, judged.seconds_from_start, judged.seconds_from_parking) == (100, 40, None)
