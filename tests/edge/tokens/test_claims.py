"""What the claims of a token must be."""

import math
from typing import Any

import pytest

from edge.tokens.claims import ClaimRules, check_expiry
from edge.tokens.grant import Grant, TokenError, TokenReason

NOW = 1_800_000_000.0
LEEWAY = 5.0


def granted(claims: dict[str, Any], audience: str = "", issuer: str = "", requires_expiry: bool = True) -> Grant:
    """Return what claims grant; they are good for a minute unless they say otherwise."""
    rules = ClaimRules(audience, issuer, LEEWAY, requires_expiry)
    return rules.grant_of(claims if not requires_expiry else {"exp": NOW + 60, **claims}, NOW)


def refused(claims: dict[str, Any], reason: TokenReason = TokenReason.CLAIM, **rules: Any) -> str:
    """Return why claims grant nothing."""
    with pytest.raises(TokenError) as caught:
        granted(claims, **rules)
    assert (caught.value.reason, caught.value.status) == (reason, 401)
    return caught.value.sentence


def test_a_grant_holds_what_the_claims_say() -> None:
    """And what they do not say is empty."""
    claims = {"sub": "bob", "channels": ["room", "news:*"], "jti": "7", "info": {"name": "Bob"}, "iss": "x", "aud": "y"}
    grant = granted(claims)
    assert (grant.user, grant.token_id, grant.info, grant.expires) == ("bob", "7", {"name": "Bob"}, NOW + 65)
    assert [grant.channels.matches(name) for name in ("room", "news:1", "rooms", "new")] == [True, True, False, False]
    bare = granted({})
    assert (bare.user, bare.token_id, dict(bare.info), bool(bare.channels)) == ("", "", {}, False)


@pytest.mark.parametrize("seconds", [-4.9, 0, 0.5, 1e9])
def test_it_is_good_until_its_time_and_the_leeway_are_over(seconds: float) -> None:
    """A float, too."""
    assert granted({"exp": NOW + seconds}).expires == NOW + seconds + LEEWAY


@pytest.mark.parametrize("value", [NOW - 5, NOW - 5.1, int(NOW) - 60, 0, -1, -1e9])
def test_then_it_is_not(value: float) -> None:
    """Also if the clocks differ by a minute."""
    assert refused({"exp": value}, TokenReason.EXPIRED) == "token: its time is over (claim exp); get a new one"
    check_expiry(NOW, NOW - 0.1)


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize(
    "value", [True, False, None, "1900000000", [1], {}, math.inf, -math.inf, math.nan, 10**400, -(10**400), NOW * 1000]
)
def test_a_time_is_a_number_of_seconds(name: str, value: object) -> None:
    """1e400 is infinite; 1800000000000 is in milliseconds, and would be good for 55,000 years."""
    told = f"token: claim {name}: it must be a number of seconds since 1970, without quotes"
    assert refused({name: value}) == told


def test_a_token_has_a_time_unless_a_setting_says_otherwise() -> None:
    """Who has it then has it for ever."""
    with pytest.raises(TokenError, match="claim exp: a token must say until when"):
        ClaimRules("", "", LEEWAY, requires_expiry=True).grant_of({}, NOW)
    assert granted({}, requires_expiry=False).expires == math.inf
    assert refused({"exp": 1}, TokenReason.EXPIRED, requires_expiry=False)


def test_it_may_begin_later() -> None:
    """The leeway holds here, too."""
    assert granted({"nbf": NOW + 5})
    assert "it is not good yet (claim nbf)" in refused({"nbf": NOW + 5.1}, TokenReason.NOT_YET)
    assert "it is not good yet (claim nbf)" in refused({"nbf": NOW + 60}, TokenReason.NOT_YET)


@pytest.mark.parametrize("value", ["comet", ["comet"], ["other", "comet"]])
def test_it_is_for_this_service(value: object) -> None:
    """`aud` is a text or a list."""
    assert granted({"aud": value}, audience="comet")


@pytest.mark.parametrize("value", ["comets", "", None, 1, [], ["x"], [["comet"]], {"comet": 1}, True])
def test_one_for_another_service_is_refused(value: object) -> None:
    """Or one that does not say for which."""
    assert refused({"aud": value}, audience="comet") == "token: claim aud: what COMET_TOKEN_AUDIENCE says is not in it"
    assert "claim aud" in refused({}, audience="comet")


@pytest.mark.parametrize("value", ["https://login.example/", "", None, 1, ["https://login.example"], {}])
def test_it_is_made_by_the_one_who_may(value: object) -> None:
    """`iss` is compared letter by letter."""
    assert granted({"iss": "https://login.example"}, issuer="https://login.example")
    told = "token: claim iss: it is not what COMET_TOKEN_ISSUER says"
    assert refused({"iss": value}, issuer="https://login.example") == told
    assert refused({}, issuer="https://login.example") == told


@pytest.mark.parametrize("value", ["room", "*", None, 1, {"room": True}, [1], [["room"]], ["room", None], True])
def test_channels_are_a_list_of_texts(value: object) -> None:
    """A text would be a list of letters, one of them perhaps a star."""
    assert "claim channels: it must be a list of names, or beginnings with a star" in refused({"channels": value})


@pytest.mark.parametrize("value", ["", "two words", "a*b", "**", "*a", "{x}", "!x", "a\x00", "\ud800", "x" * 256])
def test_each_is_one_that_a_channel_can_match(value: str) -> None:
    """The sentence shows it."""
    assert "matches no channel" in refused({"channels": ["room", value]})


def test_a_thousand_channels_at_most() -> None:
    """A token of 8 KB holds no more."""
    assert granted({"channels": [f"c{number}" for number in range(1000)]}).channels.matches("c999")
    assert "claim channels: it has 1001 entries" in refused({"channels": ["c"] * 1001})
    assert granted({"channels": ["*"]}).channels.matches("any")


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", [1, None, ["bob"], {}, True, "x" * 256, "ä" * 128, "\ud800"])
def test_user_and_number_are_short_texts(name: str, value: object) -> None:
    """A number is refused: 1 and "1" would be two users in one store and one in another."""
    assert refused({name: value}) == f"token: claim {name}: it must be a text of at most 255 bytes, in quotes"
    assert granted({name: "ä" * 127})


@pytest.mark.parametrize("value", ["Bob", None, [1], 1, {"a": "x" * 1020}, {"a": 10**30}, {"a": "\ud800"}])
def test_info_is_a_small_object(value: object) -> None:
    """What others are shown of a user."""
    assert refused({"info": value}) == "token: claim info: it must be an object of at most 1024 bytes as JSON"
    assert granted({"info": {"a": "x" * 990, "b": [{"c": None}]}}).info["b"] == [{"c": None}]


def test_what_others_need_is_left_alone() -> None:
    """Claims that are not ours may be anything."""
    assert granted({"iat": "yesterday", "scope": [1], "nested": {"exp": 1, "channels": "*"}}).user == ""
