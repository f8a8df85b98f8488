"""What an edge counts."""

from edge.counters import CloseReason, Counters


def test_held_is_what_was_opened_and_is_not_closed() -> None:
    """Each transport has its own number, whatever the reasons were for which its subscribers left."""
    counters = Counters()
    for transport in ("stream", "stream", "stream", "sse"):
        counters.opened(transport)
    counters.closed_total["stream", CloseReason.CLIENT] += 1
    counters.closed_total["stream", CloseReason.SLOW] += 1
    assert [counters.held(transport) for transport in ("stream", "sse", "poll")] == [1, 1, 0]
    assert counters.closed_total == {("stream", "client"): 1, ("stream", "slow"): 1}


def test_deliveries_are_counted_in_messages_and_in_bytes() -> None:
    """A heartbeat is bytes without a message."""
    counters = Counters()
    counters.delivered("ws", 20, 5000)
    counters.delivered("ws", 0, 2)
    assert (counters.delivered_total, counters.bytes_total) == ({"ws": 20}, {"ws": 5002})


def test_the_reasons_of_a_close_are_labels_that_dashboards_know() -> None:
    """Their names are an interface: a reason that is renamed is another series."""
    assert {reason.value for reason in CloseReason} == {
        "answered",
        "changed",
        "client",
        "closed",
        "drain",
        "error",
        "idle",
        "max_age",
        "refused",
        "shed",
        "slow",
        "token",
        "unavailable",
    }


def test_what_must_be_seen_to_rise_is_shown_from_zero() -> None:
    """Prometheus sees no increase in a series that did not exist before."""
    counters = Counters()
    assert counters.refused_total == {503: 0}
    assert counters.cut_total == {"bytes": 0, "seconds": 0, "total": 0}
    assert counters.repairs_total == {"repaired": 0, "reset": 0}
