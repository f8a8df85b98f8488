"""What the values of single settings may be: each function reads one, or raises ValueError with a sentence. Pure."""

import re
from collections.abc import Callable, Sequence

from pydantic import ValidationInfo

from common.access.keys import read_admin_keys, read_publish_keys
from common.access.patterns import Patterns
from common.names import channel_fault
from common.redis.url import check_redis_url
from common.url import (
    BLANK,
    WILDCARD,
    as_browsers_write,
    check_port,
    culprit,
    host_as_browsers_write,
    parse_network,
    split_url,
)

MIN_SECRET_BYTES = 32  # of a key for HS256 (RFC 7518 section 3.2)
SHORT_SECRET = f"a secret has at least {MIN_SECRET_BYTES} bytes; `openssl rand -hex 32` makes one"
FILE = "file:"  # a value that begins so names the file that holds the key of tokens
USER = "{sub}"  # in a template of channels: the user of a token
_PREFIX = re.compile(r"[^\s{}!*]{1,64}")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.IGNORECASE)
_COOKIE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")  # a cookie's name (RFC 6265 section 4.1.1)
_URL = re.compile(r"https?://", re.IGNORECASE)
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|::1|localhost")
_PEM_OR_JSON = re.compile(r"\s*(-----BEGIN|\{)")


def read_redis_url(value: str) -> str:
    """Return the address of Redis."""
    check_redis_url(value)
    return value


def read_host(value: str) -> str:
    """Return an address to listen on."""
    if not value.strip():  # an empty one would listen on all addresses
        raise ValueError("give an address of this machine; :: stands for all of them")
    return value.strip()


def read_prefix(value: str) -> str:
    """Return what every name in Redis starts with."""
    if not _PREFIX.fullmatch(value) or not value.isprintable():
        raise ValueError("give 1 to 64 printable characters, none of them white space or one of { } ! *")
    return value


def read_publisher_url(value: str) -> str:
    """Return the address of the publisher."""
    if not _is_address(value):
        raise ValueError("must be an address such as http://127.0.0.1:8081")
    check_port(value)
    return _as_browsers_write_url(value)


def check_proxy_protocol(value: bool, info: ValidationInfo) -> bool:
    """Refuse PROXY lines without anybody who is believed."""
    if value and not info.data.get("trusted_proxies"):
        raise ValueError("only the proxies of COMET_TRUSTED_PROXIES are believed; set that, too")
    return value


def check_url_bytes(value: int, info: ValidationInfo) -> int:
    """Refuse a limit that no URL could reach."""
    head = info.data.get("max_head_bytes", value)
    if value > head:
        raise ValueError(f"a URL is part of a request head; give at most {head}, or raise COMET_MAX_HEAD_BYTES")
    return value


def read_token_key(value: str) -> str:
    """Return what tokens are checked with: a secret, `file:PATH` or the address of a JWKS. What fails is not shown."""
    bare = value.strip()
    if is_key_address(bare):
        _check_key_address(bare)
        return bare
    if bare.startswith(FILE):
        if not bare.removeprefix(FILE).strip():
            raise ValueError("after file: there is the path of a file, as in file:/run/secrets/token-key")
        return bare
    if _PEM_OR_JSON.match(value):
        raise ValueError("a PEM key or a JWKS is read from a file: put it there, and give file:PATH")
    if value and len(value.encode()) < MIN_SECRET_BYTES:
        raise ValueError(SHORT_SECRET)
    return value


def is_key_address(value: str) -> bool:
    """Say whether a value of COMET_TOKEN_KEY is where a JWKS is fetched from."""
    return _URL.match(value) is not None


def read_token_cookie(value: str, info: ValidationInfo) -> str:
    """Return the name of the cookie that may hold a token; other sites' pages make browsers send it, too."""
    if value and not _COOKIE.fullmatch(value):
        raise ValueError("a cookie's name has 1 to 128 letters, digits or other characters of !#$%&'*+-.^_`|~")
    if value and not info.data.get("allowed_origins"):
        raise ValueError("a browser sends a cookie for pages of other sites, too; set COMET_ALLOWED_ORIGINS")
    return value


# Lists, separated by commas; one that is a list already is taken as it is.


def read_edges(value: object) -> object:
    """Return the addresses of the edges."""
    if not isinstance(value, str):
        return value
    urls = tuple(_edge_url(part, value) for part in _parts(value))
    if not urls:
        raise ValueError("give at least one address such as http://127.0.0.1:8080")
    return urls


def read_proxies(value: object) -> object:
    """Return the addresses and networks of load balancers."""
    if not isinstance(value, str):
        return value
    parts = _parts(value)
    for part in parts:
        parse_network(part)
    return parts


def read_keys(value: object) -> object:
    """Return the keys of those who may publish."""
    if not isinstance(value, str):
        return value
    return _entries(value, read_publish_keys, "to let every client publish")


def read_admin(value: object) -> object:
    """Return the keys of operators."""
    if not isinstance(value, str):
        return value
    return _entries(value, read_admin_keys, "to let those operate who may publish")


def read_origins(value: object) -> object:
    """Return the origins that pages may have; none for all."""
    if not isinstance(value, str):
        return value
    parts = [part.rstrip("/") for part in _parts(value)]
    if parts == ["*"]:
        return ()
    if value and not parts:
        raise ValueError("it contains no origin; leave it empty, or give *, to allow all")
    return tuple(dict.fromkeys(_origin(part, value) for part in parts))


def read_public_channels(value: object) -> object:
    """Return the patterns of the channels that need no token."""
    if not isinstance(value, str):
        return value
    parts = tuple(dict.fromkeys(_parts(value)))
    Patterns(parts)  # raises ValueError for one that no channel can match
    return parts


def read_private_channels(value: object) -> object:
    """Return the templates of the channels that each user may hear."""
    if not isinstance(value, str):
        return value
    parts = tuple(dict.fromkeys(_parts(value)))
    for part in parts:
        _check_template(part)
    return parts


def read_hosts(value: object) -> object:
    """Return the names under which a process may be asked."""
    if not isinstance(value, str):
        return value
    parts = _parts(value)
    if value and not parts:
        raise ValueError("it contains no name; leave it empty, or give names such as push.example.com")
    return tuple(dict.fromkeys(_name_of_host(part, value) for part in parts))


def _name_of_host(text: str, whole: str) -> str:
    """Return a name as browsers send it."""
    try:
        return host_as_browsers_write(text)
    except ValueError:
        names = "names such as push.example.com or *.example.com, without https:// and port"
        raise ValueError(f"give {names}, not {culprit(text, whole)}") from None


def _entries(value: str, read: Callable[[Sequence[str]], object], why_empty: str) -> tuple[str, ...]:
    """Return the entries of keys, each of which can be read."""
    entries = _parts(value)
    read(entries)
    if value and not entries:
        raise ValueError(f"it contains no key; leave it empty {why_empty}")
    return entries


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_template(text: str) -> None:
    """Raise ValueError unless a channel may be named as a template says."""
    if text.count(USER) != 1:
        raise ValueError(f"a template has one {USER}, where the user's name stands, as in user:{USER}, not {text!r}")
    if fault := channel_fault(text.replace(USER, "u")):
        raise ValueError(f"{text[:60]!r} names no channel ({fault})")


def _check_key_address(url: str) -> None:
    """Raise ValueError unless a JWKS may be fetched from an address; what comes in clear text may be anybody's."""
    parts = split_url(url)
    if BLANK.search(url) or not parts.hostname or "@" in parts.netloc:
        raise ValueError("the address of a JWKS looks like https://login.example/jwks.json, without a user in it")
    check_port(url)
    if parts.scheme == "http" and not _LOOPBACK.fullmatch(parts.hostname):
        raise ValueError("keys are fetched by https:// only; http:// is taken for this machine alone, for tests")


def _origin(text: str, whole: str) -> str:
    """Return an origin as browsers send it."""
    wrong = culprit(text, whole)
    if text == "*":
        raise ValueError("* allows every origin, so it stands alone; leave it out, or leave out the others")
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"an origin looks like https://example.com or http://localhost:8000, not {wrong}")
    try:
        return as_browsers_write(text)
    except ValueError as error:
        raise ValueError(f"{wrong} matches no page: {error}") from None


def _edge_url(text: str, whole: str) -> str:
    """Return the address of an edge without a slash at its end; `/` alone is the page's own origin."""
    if text == "/":
        return text
    if not _is_address(text):
        wrong = culprit(text, whole)
        raise ValueError(f"{wrong} must be / or an address such as https://push.example or http://127.0.0.1:8080")
    check_port(text)
    return _as_browsers_write_url(text)


def _as_browsers_write_url(text: str) -> str:
    """Return an address whose host is written as in a page's policy and in the requests for it."""
    parts = split_url(text)
    if WILDCARD in parts.netloc:
        raise ValueError("an address names one host, without a star")
    return as_browsers_write(f"{parts.scheme}://{parts.netloc}") + parts.path.rstrip("/")


def _is_address(text: str) -> bool:
    """Say whether a browser can use an address, leaving its port aside; it refuses one with a password in it."""
    if BLANK.search(text):
        return False
    parts = split_url(text)
    extra = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not extra
