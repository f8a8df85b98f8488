"""Reading the URLs that settings hold, without ever showing a password in one."""

import re
from urllib.parse import SplitResult, urlsplit

ESCAPES = "in user and password write / ? # @ : [ ] as %2F %3F %23 %40 %3A %5B %5D"
BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_IN_QUERY = re.compile(r"(password=)[^&#\s]*", re.IGNORECASE)


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
