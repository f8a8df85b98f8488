import pytest

from common.settings import Settings
from common.settings_help import advice, allowed


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("redis_url", "URL", "give URL"),
        ("adopt", "`1` or `0`", "give 1 or 0"),
        ("slow_policy", "`disconnect` or `latest`", "give disconnect or latest"),
        ("history_size", "messages, from 0 to 100000", "give a whole number (messages, from 0 to 100000)"),
        ("history_ttl", "seconds, from 1 to 2592000", "give a whole number (seconds, from 1 to 2592000)"),
        ("max_connections", "number, from 0", "give a whole number (from 0)"),
        ("linger", "seconds, from 0 to 3600", "give a number (seconds, from 0 to 3600)"),
        ("flush_ms", "milliseconds, from 0 to 1000", "give a number (milliseconds, from 0 to 1000)"),
        ("edge_host", "address", "give address"),
        ("prefix", "text", "give text"),
        ("publish_keys", "list with commas", "give list with commas"),
    ],
)
def test_a_setting_tells_its_unit_and_its_limits(name: str, words: str, told: str) -> None:
    """For the table of all settings, and for the line that stops a process."""
    field = Settings.model_fields[name]
    assert (allowed(name, field), advice(name, field)) == (words, told)
