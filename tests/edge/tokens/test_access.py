"""Which channels a subscriber may hear."""

from collections.abc import Sequence

import pytest

from common.access.patterns import Patterns
from edge.tokens.access import Access
from edge.tokens.grant import Grant, TokenError, TokenReason

PUBLIC = Patterns(["lobby", "news:*"])


def grant(user: str = "", *channels: str) -> Grant:
    """Return a grant of channels to a user."""
    return Grant(user, Patterns(channels), 2e9)


def refused(channels: Sequence[str], held: Grant | None, *templates: str) -> TokenError:
    """Return why channels are refused."""
    with pytest.raises(TokenError) as caught:
        Access(PUBLIC, templates).check(channels, held)
    return caught.value


def test_public_channels_need_no_token() -> None:
    """With one they are open, too."""
    Access(PUBLIC, ()).check(["lobby", "news:1"], None)
    Access(PUBLIC, ()).check(["lobby"], grant())
    Access(Patterns(["*"]), ()).check(["anything"], None)


def test_all_others_do() -> None:
    """Nothing is public unless a setting says so."""
    error = refused(["lobby", "room"], None)
    assert (error.reason, error.status) == (TokenReason.MISSING, 401)
    assert error.sentence == "id: 'room' needs a token; send it as token=… or in Authorization: Bearer …"
    with pytest.raises(TokenError):
        Access(Patterns(), ()).check(["lobby"], None)


def test_a_token_opens_what_it_names() -> None:
    """By name or by beginning."""
    Access(PUBLIC, ()).check(["room", "chat:1", "lobby"], grant("bob", "room", "chat:*"))


def test_one_channel_that_it_does_not_name_is_enough() -> None:
    """The first of them is named."""
    error = refused(["room", "private-bob", "private-eve"], grant("bob", "room"))
    assert (error.reason, error.status) == (TokenReason.CHANNEL, 403)
    assert error.sentence == "id: 'private-bob' is not granted by the token; its claim channels must name it"


def test_a_template_gives_each_user_a_channel() -> None:
    """And nobody another's."""
    Access(PUBLIC, ["user:{sub}", "{sub}/inbox"]).check(["user:bob", "bob/inbox"], grant("bob"))
    for channel in ("user:eve", "user:bobby", "user:", "user:{sub}", "user:bo", "Xuser:bob"):
        assert refused([channel], grant("bob"), "user:{sub}").reason is TokenReason.CHANNEL
    assert refused(["user:"], grant(""), "user:{sub}").reason is TokenReason.CHANNEL
    assert refused(["user:bob"], None, "user:{sub}").reason is TokenReason.MISSING


@pytest.mark.parametrize("user", [".+", "a.c", "%", "$1", "\\1", "a:b", "a/../b"])
def test_a_user_is_taken_as_it_is(user: str) -> None:
    """No part of its name means anything."""
    Access(PUBLIC, ["user:{sub}"]).check([f"user:{user}"], grant(user))
    assert refused(["user:abc"], grant(user), "user:{sub}").status == 403


@pytest.mark.parametrize("user", ["*", "bo*", "two words", "{sub}", "a\n", "!x", "\x00"])
def test_a_user_that_no_channel_can_be_named_for_is_refused(user: str) -> None:
    """Where templates are set; on a public channel, too."""
    error = refused(["lobby"], grant(user), "user:{sub}")
    assert (error.reason, error.status) == (TokenReason.CLAIM, 401)
    assert "claim sub: channels are named for it" in error.sentence
    Access(PUBLIC, ()).check(["room"], grant(user, "room"))
