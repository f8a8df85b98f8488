"""The checker itself: it finds what it is there to find, and nothing else."""

import pytest

from tests.faults.checker import Checker, Entry, Ledger, Log, Plain

WELCOME = Entry("welcome", seq="0-100", at=1.0)


def data(offset: int, content: str = "") -> Entry:
    """Return a message at an offset of the usual log: its tag is 100 + offset."""
    return Entry("data", content or f"m{offset}", f"{offset}-{100 + offset}")


def reset(offset: int, at: float = 3.0) -> Entry:
    """Return a reset to an offset of the usual log; plain messages were published before it, at 2.0."""
    return Entry("reset", seq=f"{offset}-{100 + offset}", at=at)


def faults(*entries: Entry, acked: int = 6, plain: tuple[str, ...] = ()) -> list[str]:
    """Return what the checker has to say of one client, when some messages were acknowledged."""
    ledger = Ledger()
    for offset in range(1, acked + 1):
        ledger.tried.add(f"m{offset}")
        ledger.acknowledge("room", f"{offset}-{100 + offset}", f"m{offset}")
    ledger.tried |= {entry.content for entry in entries if entry.content.startswith("p")}
    ledger.plain["room"] = [Plain(content, 2.0) for content in plain]
    return Checker(ledger).check([Log("one", "room", [WELCOME, *entries])])


def test_a_whole_log_is_fine() -> None:
    """Everything in order, once."""
    assert faults(*map(data, range(1, 7))) == []


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([data(1), data(2), data(4), data(5), data(6)], "a hole or a repetition"),
        ([data(1), data(2), data(2), data(3), data(4), data(5), data(6)], "a hole or a repetition"),
        ([data(1), data(2), data(3), data(4), data(5)], "acknowledged and never seen: 6-106"),
        ([data(1), data(2), data(3), data(4), data(5), data(6), data(7, "forged")], "no writer published 'forged'"),
        ([data(1), data(2), reset(3), data(5), data(6)], "a hole or a repetition"),
        ([data(1), data(2, "m1"), *map(data, range(3, 7))], "came twice"),
        ([*map(data, range(1, 7)), Entry("welcome", seq="9-109")], "a silent jump from 6-106 to 9-109"),
    ],
)
def test_what_is_wrong_is_found(entries: list[Entry], complaint: str) -> None:
    """Holes, repetitions, losses at the end, forgeries, and a reset that does not lead to what follows it."""
    assert any(complaint in fault for fault in faults(*entries))


def test_a_reset_covers_what_lies_under_it() -> None:
    """Acknowledged messages between the last one before and the first one after are accounted for."""
    assert faults(data(1), data(2), reset(4), data(5), data(6)) == []


PLAIN = ("p1", "p2", "p3", "p4")


@pytest.mark.parametrize(
    ("entries", "missed"),
    [
        ([data(1, "p1"), data(2, "p2"), data(3, "p3"), data(4, "p4")], []),
        ([data(1, "p1"), data(2, "p3"), data(3, "p4")], ["p2"]),
        ([data(1, "p1"), data(2, "p2")], ["p3", "p4"]),
        ([], ["p1", "p2", "p3", "p4"]),
        ([data(1, "p1"), reset(1), data(2, "p4")], []),
        ([data(1, "p1"), data(2, "p3"), reset(2), data(3, "p4")], ["p2"]),
        ([reset(0), data(1, "p2"), data(2, "p4")], []),
        ([reset(0, at=1.5), data(1, "p2"), data(2, "p4")], ["p1", "p3"]),
        ([data(1, "p1"), reset(1), data(2, "p1"), data(3, "p3"), data(4, "p4")], []),
        ([data(1, "p1"), data(2, "p2"), reset(2)], []),
        ([data(1, "p1"), data(2, "p3"), data(3, "p2"), data(4, "p4")], []),
        ([data(1, "p1"), Entry("data", "p2"), data(2, "p3"), data(3, "p4")], []),
    ],
)
def test_a_plain_message_is_there_or_under_a_reset(entries: list[Entry], missed: list[str]) -> None:
    """Late is not lost; a reset elsewhere covers nothing."""
    found = faults(*entries, acked=0, plain=PLAIN)
    assert found == [f"one on room: published plainly at 2.000 and never seen: {content!r}" for content in missed]


def test_what_was_published_plainly_before_a_client_came_is_not_its_own() -> None:
    """It was told from where it starts."""
    ledger = Ledger()
    ledger.plain["room"] = [Plain("early", 0.5)]
    assert Checker(ledger).check([Log("one", "room", [WELCOME])]) == []
