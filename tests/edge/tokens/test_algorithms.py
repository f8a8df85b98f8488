"""The algorithms are those of PyJWT."""

from jwt.algorithms import get_default_algorithms

from edge.tokens.algorithms import ALGORITHMS


def test_each_is_implemented_and_none_is_no_signature() -> None:
    """`none` is in PyJWT's list, and not in ours."""
    assert set(get_default_algorithms()) >= ALGORITHMS
    assert len(ALGORITHMS) == 13
    assert "none" not in ALGORITHMS
