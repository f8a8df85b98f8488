"""What proxies say of a client: PROXY lines, and X-Forwarded-For and Forwarded, which a stranger may begin with.

A line that comes in pieces is waited for until it is whole, what follows it is not looked at, and the client is an
address or nobody's name.
"""

from ipaddress import ip_network

from common.errors import BadRequestError
from edge.protocol.proxies.forwarded import HIDDEN, client_address
from edge.protocol.proxies.networks import Networks, client_of
from edge.protocol.proxies.proxy_line import MAX_BLOCK, MAX_LINE, SIGNATURE, Preface, parse_preface
from tests.fuzz.refusals import check_refusal

TRUSTED = Networks(["10.0.0.0/8", "fd00::/8"])
MAX_PREFACE = max(MAX_LINE, len(SIGNATURE) + 4 + MAX_BLOCK)
PEER = "10.0.0.1"


def check(data: bytes) -> None:
    """Look at the first bytes of a connection, and at the value of a header."""
    preface = _read(data)
    if preface is not None:
        _check_preface(data, preface)
    value = data.decode("latin-1")
    for header in ("x-forwarded-for", "forwarded"):
        _check_client(client_address(PEER, {header: value}, TRUSTED))


def _read(data: bytes) -> Preface | None:
    try:
        return parse_preface(data)
    except BadRequestError as error:
        check_refusal(error, {400})
        return None


def _check_preface(data: bytes, preface: Preface) -> None:
    assert 0 < preface.size <= min(MAX_PREFACE, len(data))
    _check_client(preface.address)
    assert parse_preface(data[: preface.size]) == preface
    for cut in range(1, preface.size, max(1, preface.size // 16)):
        assert parse_preface(data[:cut]) is None, "a beginning is waited for"


def _check_client(address: str) -> None:
    if address not in {"", HIDDEN}:
        ip_network(client_of(address))  # what is counted is an address, or a network of IPv6
