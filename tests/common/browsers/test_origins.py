"""Which origins are on a list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.browsers.origins import OriginList

LIST = OriginList(("https://app.example", "http://localhost:8000", "null", "https://*.example.com"))


@pytest.mark.parametrize(
    "origin",
    ["https://app.example", "http://localhost:8000", "null", "https://a.example.com", "https://a.b.example.com"],
)
def test_what_is_named_is_on_the_list(origin: str) -> None:
    """As it is, or by the domain above it."""
    assert LIST.has(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://example.com",
        "https://*.example.com",
        "https://evilexample.com",
        "https://a.example.com.evil.example",
    ],
)
def test_nothing_else_is_on_the_list(origin: str) -> None:
    """Scheme, name and port are compared whole."""
    assert not LIST.has(origin)


@given(st.text())
def test_nothing_is_on_an_empty_list(origin: str) -> None:
    """Whatever it is called."""
    assert not OriginList().has(origin)
