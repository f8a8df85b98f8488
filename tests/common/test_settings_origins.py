"""COMET_ALLOWED_ORIGINS and the addresses of servers are read as browsers write them, or stop the process."""

import pytest

from common.errors import SettingsError
from common.settings import load_settings
from common.url import as_browsers_write

MUNICH = "xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://APP.example", "https://app.example"),
        ("HTTPS://app.example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:80", "http://app.example"),
        ("http://app.example:0080", "http://app.example"),
        ("https://app.example:80", "https://app.example:80"),
        ("https://app.example:", "https://app.example"),
        ("https://münchen.example", f"https://{MUNICH}"),
        ("https://MÜNCHEN.example:443", f"https://{MUNICH}"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://a_b.example.", "https://a_b.example."),
        ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://*.Example.com", "https://*.example.com"),
        ("https://*.example.com:443", "https://*.example.com"),
        ("https://*.münchen.example:8443", f"https://*.{MUNICH}:8443"),
        ("Capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
    ],
)
def test_an_origin_is_read_as_browsers_write_it(given: str, sent: str) -> None:
    """Each of these was taken as it is and matched no page; what a browser sends stays as it is."""
    assert as_browsers_write(given) == sent
    assert as_browsers_write(sent) == sent
    assert load_settings(allowed_origins=given).allowed_origins == (sent,)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("https://*", "a star stands only for the names below a domain"),
        ("https://*.", "the host in it is no name"),
        ("https://*.*.example", "a star stands only for the names below a domain"),
        ("https://app-*.example", "a star stands only for the names below a domain"),
        ("https://example.*", "a star stands only for the names below a domain"),
        ("https://*.127.0.0.1", "an address has none"),
        ("https://[::1", "after https:// there is a host name"),
        ("https://*.[::1]", "after https:// there is a host name"),
        ("capacitor://*.x", "a star stands for the names below a domain"),
        ("https://app.example:*", "after https:// there is a host name and perhaps a port"),
        ("https://app.example:0", "the port in it must be a number"),
        ("https://app.example:65536", "the port in it must be a number"),
        ("wss://app.example", "begins with https:// or http://"),
        ("https://a..example", "the host in it is no name"),
        ("https://a%2eb.example", "the host in it is no name"),
        ("https://127.1", "the host in it is no name and no address"),
        ("https://1.2.3.256", "the host in it is no name and no address"),
        ("https://[fe80::1%25eth0]", "the host in it is no name and no address"),
        ("https://-ü-.example", "the host in it is no name"),
        ("https://a.example,*", "* allows every origin, so it stands alone"),
        ("*, https://a.example", "* allows every origin, so it stands alone"),
        ("*,*", "* allows every origin, so it stands alone"),
        ("*://example.com", "an origin looks like"),
        ("https://a.example/app", "an origin looks like"),
        (",", "it contains no origin"),
        (" ", "it contains no origin"),
    ],
)
def test_an_origin_that_matches_no_page_stops_the_process(value: str, sentence: str) -> None:
    """In one line that names the variable and what to write; it was taken, or dropped, in silence."""
    with pytest.raises(SettingsError) as caught:
        load_settings(allowed_origins=value)
    assert str(caught.value).startswith(f"COMET_ALLOWED_ORIGINS={value!r}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("https://Push.Example:443/", "https://push.example"),
        ("https://münchen.example/Comet/", f"https://{MUNICH}/Comet"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_address_of_a_server_is_read_alike(given: str, read: str) -> None:
    """A page's policy names it to the browser, which knows no other spelling of an international name."""
    settings = load_settings(edge_url=given, publisher_url=given)
    assert (settings.edge_url, settings.publisher_url) == ((read,), read)


@pytest.mark.parametrize("name", ["edge_url", "publisher_url"])
@pytest.mark.parametrize("value", ["https://*.example", "http://a..b", "https://127.1"])
def test_an_address_that_no_browser_can_open_stops_the_process(name: str, value: str) -> None:
    """One address is one host."""
    with pytest.raises(SettingsError, match=f"^COMET_{name.upper()}="):
        load_settings(**{name: value})
