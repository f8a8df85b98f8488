import pytest

from common.url import check_port, culprit, masked, parse_network, split_url


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user:secret@h", "redis://***@h"),
        ("redis://user:se/c@ret@h", "redis://***@h"),
        ("user:secret@h", "***@h"),
        ("unix:///r?password=secret&db=1", "unix:///r?password=***&db=1"),
        ("http://u:secret@a, http://v:secret@b", "http://***@b"),
        ("", ""),
    ],
)
def test_users_and_passwords_are_masked(text: str, shown: str) -> None:
    """Whatever characters they have: everything up to the last @ is replaced."""
    assert masked(text) == shown


@pytest.mark.parametrize("url", ["http://h:0", "http://h:x", "http://h:65536", "http://h:-1"])
def test_a_port_that_cannot_be_connected_to_is_refused(url: str) -> None:
    """The sentence repeats nothing of the URL."""
    with pytest.raises(ValueError, match=r"^the port in it must be a number from 1 to 65535$"):
        check_port(url)


@pytest.mark.parametrize("url", ["http://h", "http://h:1", "http://h:65535/path"])
def test_a_good_port_or_none_passes(url: str) -> None:
    """Without a port the scheme's own one is used."""
    check_port(url)


def test_a_text_that_is_not_a_url_is_refused_without_repeating_it() -> None:
    """The library's own error shows what it got, and with it a password."""
    with pytest.raises(ValueError, match=r"^this is not a URL; ") as caught:
        split_url("redis://:se]cret[@h")
    assert "cret" not in str(caught.value)


def test_the_wrong_part_of_a_list_is_named_unless_it_may_be_secret() -> None:
    """A comma in a password splits it, and a part of it may stand alone."""
    assert culprit("ftp://a", "ftp://a,http://b") == "'ftp://a'"
    assert culprit("cret@a", "http://u:se,cret@a") == "one of them"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0", "lb.example", "10.0.0.0/33"])
def test_what_is_no_network_is_told(text: str) -> None:
    """A network with bits of a host in it is a slip, too."""
    with pytest.raises(ValueError, match="must be an address or a network such as"):
        parse_network(text)
