"""Who is let in."""

import pytest

from common.errors import SettingsError, UnavailableError
from common.settings import load_settings
from edge.counters import Counters
from edge.tokens.grant import TokenError
from edge.tokens.guard import Guard, load_keys
from tests.edge.edge_without_redis import FakeClock
from tests.edge.http_client import get
from tests.edge.tokens_in_memory import TokensInMemory


class Door:
    """A guard, and what it goes by: `news` is for all, and `good` is a token for `room` until 2000 seconds."""

    def __init__(self) -> None:
        self.tokens, self.counters, self.clock = TokensInMemory("news"), Counters(), FakeClock()
        self.good = self.tokens.make("good", ["room"], expires=2000.0)
        self.guard: Guard = self.tokens.guard(self.counters, self.clock)

    def refused(self) -> dict[str, int]:
        """Return what was counted."""
        return {reason: count for reason, count in self.counters.token_refused_total.items() if count}


@pytest.mark.parametrize(
    ("query", "channels", "status", "reason"),
    [
        ("token=good", ("room",), 0, ""),
        ("token=good", ("news", "room"), 0, ""),
        ("token=good", ("room", "private-bob"), 403, "channel"),
        ("token=good", (), 0, ""),
        ("", ("news",), 0, ""),
        ("", (), 0, ""),
        ("", ("room",), 401, "missing"),
        ("", ("news", "room"), 401, "missing"),
        ("token=bad", ("room",), 401, "signature"),
        ("token=bad", ("news",), 401, "signature"),
        ("token=bad", (), 401, "signature"),
    ],
)
def test_a_subscriber_needs_a_token_for_what_is_not_for_all(
    query: str, channels: tuple[str, ...], status: int, reason: str
) -> None:
    """A bad one is refused whatever it is for; each refusal is counted once."""
    door = Door()
    if not status:
        assert door.guard.admit(get("/sub", query), "stream", channels) is (door.good if query else None)
        assert door.refused() == {}
        return
    with pytest.raises(TokenError) as error:
        door.guard.admit(get("/sub", query), "stream", channels)
    assert error.value.status == status
    assert door.refused() == {reason: 1}


def test_while_no_keys_are_known_nothing_is_refused_for_good() -> None:
    """It is not the client's fault."""
    door = Door()
    door.tokens.has_keys = False
    with pytest.raises(UnavailableError):
        door.guard.admit(get("/sub", "token=good"), "stream", ("room",))
    assert door.refused() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_channels", ("news",)),
        ("private_channels", ("user:{sub}",)),
        ("token_cookie", "comet"),
        ("token_audience", "push"),
        ("token_issuer", "login"),
    ],
)
def test_settings_of_tokens_without_a_key_stop_an_edge(name: str, value: object) -> None:
    """They expect a check that nobody makes; without all of them there is nothing to check."""
    settings = load_settings(allowed_origins=("https://app.example",))
    assert load_keys(settings) is None
    with pytest.raises(SettingsError, match=f"COMET_{name.upper()} is set and COMET_TOKEN_KEY is not"):
        load_keys(settings.model_copy(update={name: value}))


def test_one_more_channel_is_allowed_by_the_grant_while_it_lasts() -> None:
    """Between its end and that of the connection it is good for nothing."""
    door = Door()
    door.guard.check("room", door.good)
    door.guard.check("news", None)
    for channel, grant, status in (("private-bob", door.good, 403), ("room", None, 401)):
        with pytest.raises(TokenError) as error:
            door.guard.check(channel, grant)
        assert error.value.status == status
    door.clock.now = 2000.0
    with pytest.raises(TokenError, match="its time is over"):
        door.guard.check("room", door.good)
    assert door.refused() == {"channel": 1, "missing": 1, "expired": 1}


def test_a_fresh_token_is_the_same_users_and_names_what_the_subscriber_has() -> None:
    """A connection that began without a token may get anybody's."""
    door = Door()
    fresh = door.tokens.make("fresh", ["room", "more"], expires=3000.0)
    assert door.guard.renew("fresh", ("room", "news"), door.good) is fresh
    assert door.guard.renew("fresh", ("room", "news"), None) is fresh
    door.tokens.make("of-eve", ["room"], user="eve")
    for token, channels, status in (("of-eve", ("room",), 403), ("fresh", ("room", "x"), 403), ("bad", (), 401)):
        with pytest.raises(TokenError) as error:
            door.guard.renew(token, channels, door.good)
        assert error.value.status == status
    assert door.refused() == {"user": 1, "channel": 1, "signature": 1}
