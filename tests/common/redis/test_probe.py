"""The probe, with literal times: what proves a connection, and for how long."""

import pytest

from common.redis.probe import PROOF_LIFETIME, Probe


def test_nothing_is_proved_before_a_probe_came_back() -> None:
    """A connection that only stands has shown nothing yet."""
    probe = Probe()
    assert not probe.is_proved(100.0)
    probe.send(100.0)
    assert not probe.is_proved(100.1)


def test_a_probe_that_comes_back_tells_its_time() -> None:
    """From the sending to the return, by the clock that is given."""
    probe = Probe()
    payload = probe.send(100.0)
    assert probe.on_return(payload, 100.25) == 0.25
    assert probe.age(100.75) == 0.5


@pytest.mark.parametrize(("seconds", "proved"), [(0.0, True), (9.9, True), (10.0, True), (10.1, False), (60.0, False)])
def test_a_proof_lasts_for_ten_seconds(seconds: float, proved: bool) -> None:
    """ "Ready" means that a probe came back in the last ten seconds, and nothing else."""
    probe = Probe()
    probe.on_return(probe.send(100.0), 100.0)
    assert probe.is_proved(100.0 + seconds) is proved
    assert PROOF_LIFETIME == 10


def test_only_the_probe_that_is_out_counts() -> None:
    """One that was sent before, one that came back already, and anything else prove nothing."""
    probe = Probe()
    before = probe.send(100.0)
    now = probe.send(105.0)
    assert probe.on_return(before, 105.1) is None
    assert probe.on_return(b"hello", 105.1) is None
    assert not probe.is_proved(105.1)
    assert probe.on_return(now, 105.2) == pytest.approx(0.2)
    assert probe.on_return(now, 109.0) is None
    assert probe.age(109.0) == pytest.approx(3.8)


def test_the_next_connection_has_to_prove_itself() -> None:
    """What was proved of a connection that is gone is forgotten, and so is the probe that was out on it."""
    probe = Probe()
    probe.on_return(probe.send(100.0), 100.1)
    out = probe.send(105.0)
    probe.forget()
    assert not probe.is_proved(105.0)
    assert probe.on_return(out, 105.1) is None
