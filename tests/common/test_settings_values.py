"""What single settings may hold; their lines are in test_settings.py and its neighbours."""

from collections.abc import Callable

import pytest

from common.settings_values import (
    read_admin,
    read_edges,
    read_host,
    read_hosts,
    read_keys,
    read_origins,
    read_prefix,
    read_proxies,
    read_publisher_url,
    read_redis_url,
)

HOSTS = ("push.example.com", "*.example.com", "xn--mnchen-3ya.example")


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (read_redis_url, "redis://h", "redis://h"),
        (read_host, " :: ", "::"),
        (read_prefix, "comet:", "comet:"),
        (read_publisher_url, "HTTP://A:80/comet/", "http://a/comet"),
        (read_edges, "/, http://B/", ("/", "http://b")),
        (read_proxies, "10.0.0.0/8,,192.0.2.7", ("10.0.0.0/8", "192.0.2.7")),
        (read_keys, " a-key-of-16-chars ", ("a-key-of-16-chars",)),
        (read_keys, "shop:a-key-of-16-chars:a:b* c", ("shop:a-key-of-16-chars:a:b* c",)),
        (read_admin, "ops:a-key-of-16-chars,,", ("ops:a-key-of-16-chars",)),
        (read_origins, "https://a.example/,https://a.example", ("https://a.example",)),
        (read_origins, "*", ()),
        (read_hosts, "Push.Example.com, *.EXAMPLE.com,,münchen.example,push.example.com", HOSTS),
        (read_hosts, "", ()),
    ],
)
def test_a_value_is_read(read: Callable[[str], object], text: str, value: object) -> None:
    """Blanks, empty parts and last slashes do not matter."""
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_redis_url, "http://h"),
        (read_host, " "),
        (read_prefix, "a b"),
        (read_publisher_url, "ftp://a"),
        (read_edges, ","),
        (read_proxies, "lb.example"),
        (read_keys, "short"),
        (read_keys, "shop:a-key-of-16-chars,shop:b-key-of-16-chars"),
        (read_admin, "a-key-of-16-chars"),
        (read_admin, ","),
        (read_origins, "*,https://a.example"),
        (read_hosts, "https://a.example"),
        (read_hosts, "a.example:8081"),
        (read_hosts, "*"),
        (read_hosts, "a.*.example"),
        (read_hosts, "*.10.0.0.1"),
        (read_hosts, ","),
    ],
)
def test_what_cannot_be_is_a_sentence(read: Callable[[str], object], text: str) -> None:
    """It becomes the end of the line that stops the process."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        read(text)


@pytest.mark.parametrize("read", [read_edges, read_proxies, read_keys, read_admin, read_origins, read_hosts])
def test_a_list_that_is_one_is_taken(read: Callable[[object], object]) -> None:
    """The command line may give several values as they are."""
    assert read(("a", "b")) == ("a", "b")
