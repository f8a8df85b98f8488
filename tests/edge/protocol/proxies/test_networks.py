"""Addresses and networks: which are trusted, and which are one client."""

import pytest

from edge.protocol.proxies.networks import Networks, client_of, parse_address


@pytest.mark.parametrize(
    ("network", "address", "inside"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::/32", "2001:db8:1::1", True),
        ("[2001:db8::1]", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("::/0", "10.1.2.3", False),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "unknown", False),
    ],
)
def test_what_is_inside_a_network(network: str, address: str, inside: bool) -> None:
    """IPv4 written as IPv6 is IPv4, on both sides."""
    assert (address in Networks([network])) is inside


def test_no_network_holds_nothing() -> None:
    """An empty list trusts nobody."""
    assert not Networks([])
    assert "10.0.0.1" not in Networks([])


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_which_addresses_are_one_client(address: str, client: str) -> None:
    """Of IPv6 a client has a whole /64."""
    assert client_of(address) == client


def test_what_is_no_address() -> None:
    """A name, or nothing."""
    assert parse_address("unknown") is None
    assert parse_address("") is None
