"""Settings of proxies and of limits by address."""

import pytest

from common.errors import SettingsError
from common.settings import load_settings


def test_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separated by commas; by default none."""
    assert load_settings().trusted_proxies == ()
    monkeypatch.setenv("COMET_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,,fd00::/8")
    assert load_settings().trusted_proxies == ("10.0.0.0/8", "192.0.2.7", "fd00::/8")


@pytest.mark.parametrize("value", ["10.0.0.0/33", "lb.example", "10.0.0.1/8", "10.0.0.0/8;10.1.0.0/16"])
def test_a_proxy_that_is_none_stops_the_process(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """With one line that says what is expected."""
    monkeypatch.setenv("COMET_TRUSTED_PROXIES", value)
    with pytest.raises(SettingsError, match=r"COMET_TRUSTED_PROXIES=.*must be an address or a network"):
        load_settings()


def test_lines_of_proxies_need_somebody_to_be_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody could send one."""
    monkeypatch.setenv("COMET_PROXY_PROTOCOL", "1")
    with pytest.raises(SettingsError, match=r"COMET_PROXY_PROTOCOL='1'.*COMET_TRUSTED_PROXIES"):
        load_settings()
    monkeypatch.setenv("COMET_TRUSTED_PROXIES", "10.0.0.0/8")
    assert load_settings().proxy_protocol


def test_limits_by_address_are_off_by_default() -> None:
    """Who sets none pays nothing for them."""
    settings = load_settings()
    limits = (settings.max_connections_per_address, settings.new_channels_per_minute)
    rates = (settings.subscriptions_per_second, settings.history_bytes_per_second)
    assert limits + rates == (0, 0, 0, 0)
