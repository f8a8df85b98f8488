"""Which paths are the demo's."""

import pytest

from publisher.api.demo import is_of_the_demo


@pytest.mark.parametrize("path", ["/", "/chat", "/demo", "/demo/", "/demo/pub", "/demo/config.json"])
def test_pages_and_all_below_the_folder_are(path: str) -> None:
    """Also the folder itself."""
    assert is_of_the_demo(path)


@pytest.mark.parametrize("path", ["", "/demos", "/chat/", "/chatter", "/admin", "/pub", "/static/demo.js", "//demo"])
def test_nothing_else_is(path: str) -> None:
    """A name that begins alike is another path."""
    assert not is_of_the_demo(path)
