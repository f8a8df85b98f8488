"""An address of Redis that says something twice: redis-py follows one of the two and ignores the other in silence."""

import pytest

from common.redis.url import check_redis_url


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://h/2?db=1", "db"),
        ("redis://h?db=1&db=2", "db"),
        ("redis://u@h?username=v", "username"),
        ("rediss://u:p@h?password=q", "password"),
        ("unix:///run/r?db=1&db=1", "db"),
    ],
)
def test_what_is_given_twice_is_refused(url: str, name: str) -> None:
    """The sentence names it, and shows nothing of the URL."""
    with pytest.raises(ValueError, match=rf"\A{name} is given twice; one of the two would be ignored\Z"):
        check_redis_url(url)


@pytest.mark.parametrize("url", ["redis://h/?db=1", "redis://u@h?password=p", "unix:///run/1?db=1"])
def test_what_is_given_once_is_accepted(url: str) -> None:
    """A path that names no database, or a socket, is no second one."""
    check_redis_url(url)
