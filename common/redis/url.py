"""What `COMET_REDIS_URL` may say.

redis-py accepts nearly anything and fails at its first command, or never: a database that is not a number is database
0, and with an unknown option each command fails.
"""

import re
from urllib.parse import SplitResult, parse_qsl

from common.url import BLANK, ESCAPES, check_port, split_url

SCHEMES = ("redis", "rediss", "unix")
OPTIONS = ("db", "username", "password")
TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
    "ssl_password",
)
ANY_VALUE = (".+", "given a value")
VALUES = {
    "db": ("[0-9]+", "a number, as in ?db=0"),
    "ssl_cert_reqs": ("required|optional|none", "required, optional or none"),
    "ssl_check_hostname": ("true|false", "true or false"),
}


def check_redis_url(url: str) -> None:
    """Raise ValueError if a URL cannot be used; the sentence says what is allowed and repeats nothing of the URL."""
    if BLANK.search(url):
        raise ValueError("it contains white space; write a space as %20")
    parts = split_url(url)
    if parts.scheme not in SCHEMES or "//" not in url:
        raise ValueError("must start with " + ", ".join(f"{scheme}://" for scheme in SCHEMES))
    if "#" in url or "@" in parts.path + parts.query:
        raise ValueError(ESCAPES)
    check_port(url)
    (_check_unix if parts.scheme == "unix" else _check_database)(parts)
    _check_options(parts)


def _check_unix(parts: SplitResult) -> None:
    if parts.hostname or parts.path in {"", "/"}:
        raise ValueError("give a socket by its full path, as in unix:///run/redis.sock")


def _check_database(parts: SplitResult) -> None:
    if not re.fullmatch(r"/?|/[0-9]+", parts.path):
        raise ValueError("the database after the host must be a number, as in redis://host:6379/0")


def _check_options(parts: SplitResult) -> None:
    known = OPTIONS + TLS_OPTIONS if parts.scheme == "rediss" else OPTIONS
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    _check_given_once(parts, [name for name, _ in pairs])
    for name, value in pairs:
        if name not in known:
            tls = "; those for TLS need rediss://" if name in TLS_OPTIONS else ""
            raise ValueError(f"the options after the ? are {', '.join(known)}{tls}")
        fits, wanted = VALUES.get(name, ANY_VALUE)
        if not re.fullmatch(fits, value):
            raise ValueError(f"{name} must be {wanted}")


def _check_given_once(parts: SplitResult, options: list[str]) -> None:
    """Raise ValueError if something is given twice: redis-py ignores one of the two."""
    database = "" if parts.scheme == "unix" else parts.path.strip("/")
    before = {"db": database, "username": parts.username, "password": parts.password}
    for name in options:
        if before.get(name) or options.count(name) > 1:
            raise ValueError(f"{name} is given twice; one of the two would be ignored")
