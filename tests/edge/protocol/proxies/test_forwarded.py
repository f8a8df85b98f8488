"""Where a request comes from, as far as trusted proxies say so."""

import pytest

from edge.protocol.proxies.forwarded import HIDDEN, client_address
from edge.protocol.proxies.networks import Networks

PROXIES = Networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
PEER = "10.0.0.1"


@pytest.mark.parametrize(
    ("listed", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7, 10.9.9.9", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("192.0.2.7, [2001:db8:ffff::1]:80", "192.0.2.7"),
        ("192.0.2.7, unknown", HIDDEN),
        ("192.0.2.7, ", HIDDEN),
        ("10.0.0.2, 10.0.0.3", ""),
        ("", ""),
    ],
)
def test_the_last_address_that_is_not_trusted_is_the_client(listed: str, client: str) -> None:
    """What stands left of it may be a client's invention."""
    assert client_address(PEER, {"x-forwarded-for": listed}, PROXIES) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("for=192.0.2.7", "192.0.2.7"),
        ('For="[2001:db8::7]:4711";proto=https', "2001:db8::7"),
        ("proto=https;for=192.0.2.7;by=10.0.0.1", "192.0.2.7"),
        ("for=198.51.100.1, for=192.0.2.7, for=10.2.2.2", "192.0.2.7"),
        ("for=192.0.2.7, for=_hidden", HIDDEN),
        ("by=10.0.0.1", ""),
    ],
)
def test_forwarded_says_the_same(forwarded: str, client: str) -> None:
    """RFC 7239."""
    assert client_address(PEER, {"forwarded": forwarded}, PROXIES) == client


def test_a_proxys_own_header_counts_first() -> None:
    """A proxy that writes X-Forwarded-For may pass on a Forwarded that its client made up."""
    headers = {"x-forwarded-for": "192.0.2.7", "forwarded": "for=198.51.100.1"}
    assert client_address(PEER, headers, PROXIES) == "192.0.2.7"


def test_nobody_else_is_believed() -> None:
    """A client that is not on the list is where it is, whatever it says."""
    assert client_address("192.0.2.9", {"x-forwarded-for": "198.51.100.1"}, PROXIES) == "192.0.2.9"
    assert client_address("192.0.2.9", {"x-forwarded-for": "198.51.100.1"}, Networks([])) == "192.0.2.9"
