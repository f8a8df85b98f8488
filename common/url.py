"""Reading the URLs that settings hold, without ever showing a password in one, and writing them as browsers do."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from urllib.parse import SplitResult, urlsplit

ESCAPES = "in user and password write / ? # @ : [ ] as %2F %3F %23 %40 %3A %5B %5D"
BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
WILDCARD = "*."  # before a domain: all names below it
DEFAULT_PORTS = {"http": "80", "https": "443"}
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IN_QUERY = re.compile(r"(password=)[^&#\s]*", re.IGNORECASE)

NULL_ORIGIN = "null"  # of pages that have none: sandboxed frames, files


def split_url(text: str) -> SplitResult:
    """Split a URL; raises ValueError with a sentence of its own, since those of the library repeat the URL."""
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(f"this is not a URL; an IPv6 address looks like [::1], and {ESCAPES}") from None


def check_port(url: str) -> None:
    """Raise ValueError if a URL has a port that cannot be connected to, such as 0."""
    try:
        fits = split_url(url).port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ValueError("the port in it must be a number from 1 to 65535")


def masked(text: str) -> str:
    """Return a URL, or several, with `***` for every user and password.

    A password may contain an unescaped `/` or `@`, which is often the very fault, so everything from the first `//` to
    the last `@` is replaced.
    """
    before, at, after = text.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    shown = f"{scheme}//***@{after}" if slashes else at and f"***@{after}"
    return _IN_QUERY.sub(r"\1***", shown or text)


def culprit(part: str, whole: str) -> str:
    """Return the wrong part of a list for an error; a part is not shown if the list may hold a password."""
    return "one of them" if "@" in whole else repr(part)


def as_browsers_write(origin: str) -> str:
    """Return an origin as the browsers of its pages send it: any other spelling would match none of them.

    Of `http` and `https` that is: in lower case, without the default port, an international name in its ASCII form
    (WHATWG URL, HTML section 7.1.1). `https://*.example.com` stands for every name below the domain. Raises ValueError
    with a sentence that repeats nothing of the origin.
    """
    if origin.lower() == NULL_ORIGIN:
        return NULL_ORIGIN
    scheme, _, authority = origin.partition("://")
    scheme = scheme.lower()
    if scheme in {"ws", "wss"}:
        raise ValueError("a page's origin begins with https:// or http://, for its WebSockets, too")
    if scheme not in DEFAULT_PORTS:
        if "*" in origin:
            raise ValueError("a star stands for the names below a domain, as in https://*.example.com")
        return f"{scheme}://{authority}"
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("after https:// there is a host name and perhaps a port, as in https://example.com:8443")
    check_port(f"{scheme}://host:{match[2] or DEFAULT_PORTS[scheme]}")
    port = "" if not match[2] or int(match[2]) == int(DEFAULT_PORTS[scheme]) else f":{int(match[2])}"
    return f"{scheme}://{host_as_browsers_write(match[1])}{port}"


def host_as_browsers_write(host: str) -> str:
    """Return a host as browsers write it; `*.example.com` stands for all names below. Raises ValueError."""
    domain = host.removeprefix(WILDCARD)
    written = _host(domain)
    if domain == host:
        return written
    if written[-1] == "]" or _NUMBER.fullmatch(written.rpartition(".")[2]):
        raise ValueError("a star stands for the names below a domain, as in https://*.example.com; an address has none")
    return WILDCARD + written


def _host(host: str) -> str:
    """Return a host as a browser writes it: a name, an IPv4 address of four numbers, or an IPv6 address in brackets."""
    try:
        if host.startswith("["):
            if "%" in host:
                raise ValueError(host)
            return f"[{IPv6Address(host[1:-1]).compressed}]"
        name = (host if host.isascii() else _ascii_name(host)).lower()
        if not _NAME.fullmatch(name):
            raise ValueError(host)
        if _NUMBER.fullmatch(name.rstrip(".").rpartition(".")[2]):
            return str(IPv4Address(name))
    except ValueError:
        star = "; a star stands only for the names below a domain, as in https://*.example.com" if "*" in host else ""
        raise ValueError(f"the host in it is no name and no address{star}") from None
    return name


def _ascii_name(name: str) -> str:
    import idna  # noqa: PLC0415  # few need it

    return idna.encode(name, uts46=True).decode()  # its errors are ValueErrors


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Parse a network, or an address, which is a network of its own; raises ValueError with a sentence."""
    try:
        network = ip_network(text.strip("[]"))
    except ValueError as error:
        raise ValueError(f"{text!r} must be an address or a network such as 10.0.0.0/8: {error}") from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    return ip_network(f"{mapped}/{max(network.prefixlen - 96, 0)}") if mapped is not None else network
