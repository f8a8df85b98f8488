"""What an edge counts itself."""

from bench.servers.metrics import parse_metrics


def test_metrics_are_read_by_their_name_and_labels() -> None:
    """Comments are passed over."""
    page = '# TYPE cut counter\ncut_total{limit="seconds"} 3\ncut_total{limit="bytes"} 0\nparked 1.5e+06\n'
    assert parse_metrics(page) == {'cut_total{limit="seconds"}': 3, 'cut_total{limit="bytes"}': 0, "parked": 1.5e6}
