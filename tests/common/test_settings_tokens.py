"""Settings of subscribe tokens."""

import pytest

from common.errors import SettingsError
from common.settings import Settings, load_settings

SECRET = "s3cret-" * 5
IN_A_FILE = "a PEM key or a JWKS is read from a file: put it there, and give file:PATH"
BY_HTTPS = "keys are fetched by https:// only; http:// is taken for this machine alone, for tests"
AN_ADDRESS = "the address of a JWKS looks like https://login.example/jwks.json, without a user in it"


def refused(**values: object) -> str:
    """Return the line that stops a process."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**values)
    return str(caught.value)


def test_without_any_no_channel_needs_a_token() -> None:
    """The defaults of docs/settings.md."""
    found = load_settings()
    assert (found.token_key, found.token_audience, found.token_issuer, found.token_cookie) == ("", "", "", "")
    assert (found.token_leeway, found.token_expiry) == (5, True)
    assert (found.public_channels, found.private_channels) == ((), ())


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (SECRET, SECRET),
        ("x" * 32, "x" * 32),
        ("ä" * 16, "ä" * 16),
        (" " + SECRET, " " + SECRET),
        ("file:/run/secrets/token-key", "file:/run/secrets/token-key"),
        (" file:key.pem\n", "file:key.pem"),
        ("https://login.example/keys?app=1", "https://login.example/keys?app=1"),
        (" HTTPS://login.example:8443/jwks ", "HTTPS://login.example:8443/jwks"),
        ("http://127.0.0.1:8000/jwks", "http://127.0.0.1:8000/jwks"),
        ("http://localhost/jwks", "http://localhost/jwks"),
        ("http://[::1]/jwks", "http://[::1]/jwks"),
    ],
)
def test_a_key_is_a_secret_or_says_where_it_is(given: str, read: str) -> None:
    """A secret is taken as it is, with its blanks."""
    assert load_settings(token_key=given).token_key == read


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("short", "a secret has at least 32 bytes; `openssl rand -hex 32` makes one"),
        ("x" * 31, "a secret has at least 32 bytes; `openssl rand -hex 32` makes one"),
        ("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQY\n-----END PUBLIC KEY-----", IN_A_FILE),
        ("\n-----BEGIN CERTIFICATE-----\nMFkwEwYHKoZIzj0CAQY", IN_A_FILE),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0"}]}', IN_A_FILE),
        ("file:", "after file: there is the path of a file, as in file:/run/secrets/token-key"),
        ("file: ", "after file: there is the path of a file, as in file:/run/secrets/token-key"),
        ("http://login.example/jwks", BY_HTTPS),
        ("http://127.0.0.1.example/jwks", BY_HTTPS),
        ("http://localhost.example/jwks", BY_HTTPS),
        ("https://", AN_ADDRESS),
        ("https://user:hidden@login.example/jwks", AN_ADDRESS),
        ("https://login.example/a b", AN_ADDRESS),
        ("https://login.example:0/jwks", "the port in it must be a number from 1 to 65535"),
    ],
)
def test_a_key_that_is_none_stops_the_process_and_is_not_shown(given: str, sentence: str) -> None:
    """A public key never becomes the secret of an HMAC."""
    assert refused(token_key=given) == f"COMET_TOKEN_KEY=(not shown): {sentence}"


def test_a_secret_is_never_shown() -> None:
    """Whoever logs the settings does not log it."""
    assert SECRET not in repr(load_settings(token_key=SECRET))
    assert not Settings.model_fields["token_key"].repr


@pytest.mark.parametrize("value", ["-1", "61", "nan", "soon"])
def test_clocks_may_differ_by_a_minute_at_most(value: str) -> None:
    """The leeway is time in which a token that ran out is still good."""
    assert refused(token_leeway=value) == f"COMET_TOKEN_LEEWAY='{value}': give a number (seconds, from 0 to 60)"
    assert [load_settings(token_leeway=edge).token_leeway for edge in (0, 60, "2.5")] == [0, 60, 2.5]


def test_patterns_and_templates_are_lists_with_commas() -> None:
    """Each once, in their order."""
    found = load_settings(public_channels=" news:*, lobby,lobby", private_channels="user:{sub},{sub}/inbox")
    assert found.public_channels == ("news:*", "lobby")
    assert found.private_channels == ("user:{sub}", "{sub}/inbox")
    assert load_settings(public_channels="*").public_channels == ("*",)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("public_channels", "a*b", "'a*b' matches no channel ('*' is not allowed in a channel name "),
        ("public_channels", "ok, two words", "'two words' matches no channel (' ' is not allowed in a channel name "),
        ("private_channels", "user:", "a template has one {sub}, where the user's name stands, as in user:{sub}, not"),
        ("private_channels", "{sub}:{sub}", "a template has one {sub}, where the user's name stands"),
        ("private_channels", "user:{name}", "a template has one {sub}, where the user's name stands"),
        ("private_channels", "user:{sub}*", "'user:{sub}*' names no channel ('*' is not allowed in a channel name "),
    ],
)
def test_what_no_channel_can_match_stops_the_process(name: str, value: str, sentence: str) -> None:
    """It would protect nothing, or open nothing, in silence."""
    assert refused(**{name: value}).startswith(f"COMET_{name.upper()}={value!r}: {sentence}")


def test_a_cookie_needs_origins() -> None:
    """Without a list any page's connection would be its user's."""
    assert load_settings(allowed_origins="https://app.example", token_cookie="comet_token").token_cookie
    told = "a browser sends a cookie for pages of other sites, too; set COMET_ALLOWED_ORIGINS"
    assert refused(token_cookie="t") == f"COMET_TOKEN_COOKIE='t': {told}"
    assert refused(token_cookie="t", allowed_origins="*") == f"COMET_TOKEN_COOKIE='t': {told}"
    assert refused(token_cookie="a=b", allowed_origins="https://app.example").startswith(
        "COMET_TOKEN_COOKIE='a=b': a cookie's name has 1 to 128 letters"
    )
