"""Chunks: bytes that several seats hold count once."""

from edge.engine.chunks import REFERENCE_BYTES, Chunks


def test_a_chunk_counts_once_until_the_last_has_let_it_go() -> None:
    """However many hold it; what it takes to refer to it counts for each."""
    chunks, chunk = Chunks(), bytes(1000)
    for holders in (1, 2, 3):
        chunks.hold(chunk)
        assert (chunks.size, chunks.memory) == (1000, 1000 + holders * REFERENCE_BYTES)
    for _ in range(2):
        chunks.let_go(chunk)
        assert (chunks.size, chunks.has(chunk)) == (1000, True)
    chunks.let_go(chunk)
    assert (chunks.size, chunks.memory, chunks.has(chunk)) == (0, 0, False)


def test_what_is_equal_is_not_the_same() -> None:
    """Two objects take the memory of two."""
    chunks, one, other = Chunks(), bytes([1] * 10), bytes([1] * 10)
    chunks.hold(one)
    assert not chunks.has(other)
    chunks.hold(other)
    assert chunks.size == 20
