"""What is said about the machine and the Python that numbers come from."""

import pytest

from bench.system.machine import describe, line, machine
from common.service.version import our_build


@pytest.mark.parametrize(
    ("arguments", "debian", "expected"),
    [
        ("'--enable-shared' '--enable-optimizations'", False, "optimised (--enable-optimizations)"),
        ("'--enable-shared'", True, "optimised (Debian's build)"),
        ("'--enable-shared'", False, "NOT OPTIMISED"),
    ],
)
def test_it_is_said_how_python_was_built(arguments: str, debian: bool, expected: str) -> None:
    """One that is not optimised makes every figure worse."""
    assert describe(arguments, debian=debian).startswith(expected)


def test_it_is_said_which_build_of_the_edge_is_measured() -> None:
    """In the line above each table, and in the file of the results."""
    assert machine()["edge_build"] == our_build()
    assert line().startswith(f"{our_build()} build of the edge on ")
