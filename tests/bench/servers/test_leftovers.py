"""What servers may have left when all clients are gone."""

from bench.servers.leftovers import Leftovers, worst
from bench.system.memory import MIB


def test_a_descriptor_or_memory_left_behind_is_a_missed_bar() -> None:
    """Memory may be kept for later connections, as much as earlier ones took; a descriptor may not."""
    good = Leftovers(seats=1000, processes=1, files=0, kept=MIB, growth=0)
    assert all(check.ok for check in good.checks())
    for bad in ({"files": 1}, {"files": -1}, {"kept": 6 * MIB}, {"growth": 2 * MIB}):
        assert [check.ok for check in good._replace(**bad).checks()].count(False) == 1
    assert worst([good, good._replace(files=1, kept=0)]) == good._replace(files=1)
