"""Under which names a process may be asked: none that a stranger's name server can lead to it."""

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.browsers.hosts import OF_NETWORKS, Host, Hosts, parse_host
from common.errors import RequestError

NAMED = Hosts(("push.example.com", "*.shop.example"))
LABELS = st.from_regex(r"[A-Za-z0-9_-]{1,10}", fullmatch=True)
PORTS = st.integers(0, 65535).map(lambda port: f":{port}") | st.just("")


def status(hosts: Hosts, host: str) -> int:
    """Return the status that a request with this Host is refused with; 0 if it is not."""
    try:
        hosts.check(host)
    except RequestError as error:
        return error.status
    return 0


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("Push.Example.COM", "push.example.com", ""),
        ("push.example.com.:8081", "push.example.com", "8081"),
        ("localhost:", "localhost", ""),
        ("127.0.0.1:08081", "127.0.0.1", "8081"),
        ("[::1]", "::1", ""),
        ("[FE80::1%eth0]:80", "fe80::1%eth0", "80"),
        ("comet_publisher", "comet_publisher", ""),
    ],
)
def test_a_host_is_a_name_and_a_port(text: str, name: str, port: str) -> None:
    """In one spelling: small letters, no brackets, no dot at the end."""
    assert parse_host(text) == Host(name, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ":80",
        "a..b",
        ".internal",
        "::1",
        "[::1",
        "[evil.test]",
        "[:]",
        "a:b",
        "a:1:2",
        "a:123456",
        "me@127.0.0.1",
        "127.0.0.1, evil.test",
        "evil.test#.localhost",
        "evil.test/.localhost",
        "evil.test\\.localhost",
        "evil.test%00.localhost",
        "münchen.example",
        "a" * 300,
        "127.0.0.1\n",
    ],
)
def test_what_is_no_host_is_none(text: str) -> None:
    """It is read as nothing, and never as the name that stands somewhere in it."""
    assert parse_host(text) is None
    assert text == "" or status(Hosts(), text) == 421


@pytest.mark.parametrize(
    "host",
    [
        "",
        "127.0.0.1:8081",
        "10.0.0.7",
        "[::1]:8081",
        "[2001:db8::1]",
        "localhost:8081",
        "LOCALHOST",
        "localhost.",
        "publisher:8081",
        "app.localhost:8081",
        "comet-publisher.comet.svc:8081",
        "comet-publisher.comet.svc.cluster.local:8081",
        "comet-publisher.comet.svc.cluster.local.",
        "host.docker.internal",
        "ip-10-0-0-1.eu-west-1.compute.internal",
    ],
)
def test_some_names_need_no_setting(host: str) -> None:
    """Nobody can register them; and without a Host there is no browser."""
    assert status(Hosts(), host) == status(NAMED, host) == 0


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8081",
        "push.example.com",
        "localhost.evil.test",
        "evil-localhost.test",
        "evillocalhost.test",
        "127.0.0.1.evil.test",
        "127.0.0.1.nip.io",
        "256.0.0.1",
        "1.2.3.4.5",
        "svc.evil.test",
        "internal.evil.test",
        "comet.local",
        "cluster.local",
    ],
)
def test_any_other_name_is_misdirected(host: str) -> None:
    """The answer names the setting, and the name."""
    with pytest.raises(RequestError, match=f"^Host: '{re.escape(host)}' .* COMET_HOSTS$") as caught:
        Hosts().check(host)
    assert caught.value.status == 421


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("push.example.com", 0),
        ("PUSH.example.com.:443", 0),
        ("a.push.example.com", 421),
        ("example.com", 421),
        ("a.shop.example", 0),
        ("a.b.shop.example:8080", 0),
        ("shop.example", 421),
        ("evilshop.example", 421),
        ("evil.test", 421),
    ],
)
def test_names_may_be_added(host: str, expected: int) -> None:
    """As they are, or all below a domain."""
    assert status(NAMED, host) == expected


def test_a_long_host_is_cut_in_the_answer() -> None:
    """It is of the client's choice."""
    with pytest.raises(RequestError) as caught:
        Hosts().check("a." * 5000 + "test")
    assert len(caught.value.sentence) < 250


@given(st.ip_addresses(), PORTS)
def test_every_address_is_ours(address: IPv4Address | IPv6Address, port: str) -> None:
    """It can be reached without any name server."""
    text = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    assert status(Hosts(), text + port) == 0


@given(st.lists(LABELS, min_size=1, max_size=5), PORTS, st.sampled_from(["", "."]))
def test_a_name_is_ours_by_its_end_alone(labels: list[str], port: str, dot: str) -> None:
    """One label, or the end of a network's own names."""
    name = ".".join(labels)
    expected = len(labels) == 1 or name.lower().endswith(OF_NETWORKS)
    is_address = len(labels) == 4 and all(
        label.isdigit() and str(int(label)) == label and int(label) < 256 for label in labels
    )
    assert (status(Hosts(), name + dot + port) == 0) == (expected or is_address)


@given(st.lists(LABELS, min_size=1, max_size=5), st.sampled_from(OF_NETWORKS), PORTS)
def test_all_below_a_network_s_domains_are_ours(labels: list[str], domain: str, port: str) -> None:
    """In any spelling."""
    assert status(Hosts(), ".".join(labels).swapcase() + domain.upper() + port) == 0


@given(st.text())
def test_no_text_fails(text: str) -> None:
    """A Host is refused or not."""
    assert status(NAMED, text) in {0, 421}
