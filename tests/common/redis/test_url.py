import re

import pytest

from common.redis.url import check_redis_url
from common.settings import load_settings

SCHEMES = "must start with redis://, rediss://, unix://"
PORT = "the port in it must be a number from 1 to 65535"
OPTIONS = "the options after the ? are db, username, password"
TLS_OPTIONS = (
    f"{OPTIONS}, ssl_ca_certs, ssl_ca_path, ssl_cert_reqs, ssl_certfile, ssl_check_hostname, ssl_keyfile, ssl_password"
)
ESCAPES = "in user and password write / ? # @ : [ ] as %2F %3F %23 %40 %3A %5B %5D"
NO_URL = f"this is not a URL; an IPv6 address looks like [::1], and {ESCAPES}"
DATABASE = "the database after the host must be a number, as in redis://host:6379/0"
SOCKET = "give a socket by its full path, as in unix:///run/redis.sock"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://x", SCHEMES),
        ("", SCHEMES),
        ("redis://h:99999", PORT),
        ("redis://h:x", PORT),
        ("redis://h:0", PORT),
        ("redis://[::1", NO_URL),
        ("redis:h", SCHEMES),
        ("redis://h /0", "it contains white space; write a space as %20"),
        ("redis://h:6379/abc", DATABASE),
        ("redis://h/1/2", DATABASE),
        ("redis://h?db=x", "db must be a number, as in ?db=0"),
        ("redis://h?foo=bar", OPTIONS),
        ("redis://h?protocol=9", OPTIONS),
        ("redis://h?socket_timeout=60", OPTIONS),
        ("redis://h?ssl_cert_reqs=none", f"{OPTIONS}; those for TLS need rediss://"),
        ("rediss://h?tls=1", TLS_OPTIONS),
        ("rediss://h?ssl_cert_reqs=bogus", "ssl_cert_reqs must be required, optional or none"),
        ("rediss://h?ssl_check_hostname=no", "ssl_check_hostname must be true or false"),
        ("rediss://h?ssl_ca_certs=", "ssl_ca_certs must be given a value"),
        ("redis://h#1", ESCAPES),
        ("unix://", SOCKET),
        ("unix://run/redis.sock", SOCKET),
    ],
)
def test_a_url_that_redis_py_would_misread_is_refused(url: str, sentence: str) -> None:
    """The sentence says what is allowed, and repeats nothing of the URL."""
    with pytest.raises(ValueError, match=rf"\A{re.escape(sentence)}\Z"):
        check_redis_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://u:p@h:1/2",
        "redis://h:6379/",
        "rediss://h",
        "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs=/ca.pem&db=3",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=1&password=p",
    ],
)
def test_a_url_of_tcp_tls_or_a_unix_socket_is_accepted(url: str) -> None:
    """The check passes, and the setting keeps the URL as it is."""
    check_redis_url(url)
    assert load_settings(redis_url=url).redis_url == url
