import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import SettingsError
from common.settings import PREFIX, Settings, load_settings, unknown_variables

PORT = "give a whole number (port, from 0 to 65535)"
SECONDS = "give a number (seconds, more than 0 to 86400)"
PATTERN = "give 1 to 64 printable characters, none of them white space or one of { } ! *"
SIZE = "give a whole number (messages, from 0 to 100000)"
BAD_PORT = "the port in it must be a number from 1 to 65535"
ESCAPES = "in user and password write / ? # @ : [ ] as %2F %3F %23 %40 %3A %5B %5D"
NO_URL = f"this is not a URL; an IPv6 address looks like [::1], and {ESCAPES}"
PUBLISHER = "must be an address such as http://127.0.0.1:8081"
HOST = "give an address of this machine; :: stands for all of them"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings in the environment of the tests."""
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("COMET_REDIS_URL", "http://x", "must start with redis://, rediss://, unix://"),
        ("COMET_REDIS_URL", "redis://h:99999", BAD_PORT),
        ("COMET_REDIS_URL", "redis://h?db=x", "db must be a number, as in ?db=0"),
        ("COMET_PUBLISHER_URL", "foo bar", PUBLISHER),
        ("COMET_PUBLISHER_URL", "http://foo bar", PUBLISHER),
        ("COMET_PUBLISHER_URL", "", PUBLISHER),
        ("COMET_PUBLISHER_URL", "http://h:x", BAD_PORT),
        ("COMET_EDGE_HOST", "", HOST),
        ("COMET_PUBLISHER_HOST", "", HOST),
        ("COMET_ADMIN_HOST", " ", HOST),
        ("COMET_PREFIX", "a b", PATTERN),
        ("COMET_PREFIX", "a\n", PATTERN),
        ("COMET_PREFIX", "{a}", PATTERN),
        ("COMET_PREFIX", "", PATTERN),
        ("COMET_PREFIX", "\udcff", PATTERN),
        ("COMET_HISTORY_SIZE", "many", SIZE),
        ("COMET_HISTORY_SIZE", "1e9", SIZE),
        ("COMET_HISTORY_SIZE", "-1", SIZE),
        ("COMET_HISTORY_SIZE", "100001", SIZE),
        ("COMET_HISTORY_TTL", "0", "give a whole number (seconds, from 1 to 2592000)"),
        ("COMET_HISTORY_TTL", "2592001", "give a whole number (seconds, from 1 to 2592000)"),
        ("COMET_MAX_MESSAGE_BYTES", "0", "give a whole number (bytes, from 1 to 16777216)"),
        ("COMET_MAX_MESSAGE_BYTES", "64k", "give a whole number (bytes, from 1 to 16777216)"),
        ("COMET_EDGE_PORT", "", PORT),
        ("COMET_EDGE_PORT", "80.5", PORT),
        ("COMET_EDGE_PORT", "70000", PORT),
        ("COMET_EDGE_ADMIN_PORT", "-1", PORT),
        ("COMET_PUBLISHER_PORT", "65536", PORT),
        ("COMET_PUBLISHER_ADMIN_PORT", "x", PORT),
        ("COMET_HEARTBEAT", "0", SECONDS),
        ("COMET_HEARTBEAT", "nan", SECONDS),
        ("COMET_POLL_TIMEOUT", "inf", SECONDS),
        ("COMET_HEADER_TIMEOUT", "10s", SECONDS),
        ("COMET_LINGER", "-1", "give a number (seconds, from 0 to 3600)"),
        ("COMET_LINGER", "3601", "give a number (seconds, from 0 to 3600)"),
        ("COMET_MAX_CONNECTIONS", "-1", "give a whole number (from 0)"),
        ("COMET_ADOPT", "maybe", "give 1 or 0"),
        ("COMET_SLOW_POLICY", "drop", "give disconnect or latest"),
        ("COMET_DRAIN_SECONDS", "3601", "give a number (seconds, from 0 to 3600)"),
        (
            "COMET_ALLOWED_ORIGINS",
            "example.com",
            "an origin looks like https://example.com or http://localhost:8000, not 'example.com'",
        ),
    ],
)
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str) -> None:
    """The line names the variable, what it got and what is allowed."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"{variable}={value!r}: {sentence}"
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("COMET_REDIS_URL", "redis://user:secret@host:x", f"'redis://***@host:x': {BAD_PORT}"),
        ("COMET_REDIS_URL", "redis://user:se/cret@host:6379", f"'redis://***@host:6379': {ESCAPES}"),
        ("COMET_REDIS_URL", "redis://user:se?cret@host:6379", f"'redis://***@host:6379': {ESCAPES}"),
        ("COMET_REDIS_URL", "redis://user:12/cret@host", f"'redis://***@host': {ESCAPES}"),
        ("COMET_REDIS_URL", "redis://:s@cret:word@h:x", f"'redis://***@h:x': {BAD_PORT}"),
        ("COMET_REDIS_URL", "redis://:s]e[cret@h", f"'redis://***@h': {NO_URL}"),
        (
            "COMET_REDIS_URL",
            "reds://user:se:cr/t@h",
            "'reds://***@h': must start with redis://, rediss://, unix://",
        ),
        (
            "COMET_REDIS_URL",
            "unix:///r?db=x&password=cret",
            "'unix:///r?db=x&password=***': db must be a number, as in ?db=0",
        ),
        (
            "COMET_EDGE_URL",
            "http://u:cret@a, http://b",
            "'http://***@a, http://b': one of them must be / or an address such as https://push.example or "
            "http://127.0.0.1:8080",
        ),
        (
            "COMET_ALLOWED_ORIGINS",
            "https://user:cret@a",
            "'https://***@a': an origin looks like https://example.com or http://localhost:8000, not one of them",
        ),
        ("COMET_PUBLISHER_URL", "http://user:cret@a", f"'http://***@a': {PUBLISHER}"),
        ("COMET_HISTORY_SIZE", "user:cret@a", f"'***@a': {SIZE}"),
    ],
)
def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, line: str) -> None:
    """What goes wrong at start is read by many."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value) == f"{variable}={line}"


PASSWORDS = st.text("/?#@:,;= %&[]'\"\\\n\t*aä0℀", max_size=12).map(lambda middle: f"SECRET{middle}SECRET")


@given(
    st.sampled_from(["redis_url", "edge_url", "publisher_url", "allowed_origins"]),
    st.sampled_from(["redis", "reds", "unix", "rediss", "http", "ftp", ""]),
    st.sampled_from(["", "user"]),
    PASSWORDS,
    st.sampled_from(["h", "h:x", "h:6379/abc", "h?foo=bar", "h,http://b", "/run/r"]),
)
def test_no_password_is_shown_whatever_is_in_it(name: str, scheme: str, user: str, password: str, rest: str) -> None:
    """An unescaped character in a password is often the very fault, and moves the parts of a URL about."""
    shown = ""
    try:
        load_settings(**{name: f"{scheme}://{user}:{password}@{rest}"})
    except SettingsError as error:
        shown = str(error)
    assert "SECRET" not in shown
    assert len(shown.splitlines()) <= 1


def test_all_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three faults do not need three starts to be found."""
    monkeypatch.setenv("COMET_EDGE_PORT", "x")
    monkeypatch.setenv("COMET_LINGER", "-1")
    with pytest.raises(SettingsError, match=r"^COMET_EDGE_PORT='x': .*; COMET_LINGER='-1': [^;\n]*$"):
        load_settings()


def test_a_wrong_flag_is_told_like_a_variable() -> None:
    """What the command line sets is checked alike."""
    with pytest.raises(SettingsError, match=r"^COMET_EDGE_PORT=70000: "):
        load_settings(edge_port=70000)


def test_without_any_variable_the_documented_defaults_hold() -> None:
    """The defaults are those of docs/settings.md."""
    settings = load_settings()
    assert settings.redis_url == "redis://127.0.0.1:6379"
    assert (settings.prefix, settings.history_size, settings.history_ttl) == ("comet:", 100, 300)
    assert settings.max_message_bytes == 65536
    assert (settings.edge_host, settings.edge_port, settings.edge_admin_port) == ("::", 8080, 9080)
    assert (settings.publisher_host, settings.publisher_port) == ("localhost", 8081)
    assert settings.publisher_admin_port == 9081
    assert (settings.heartbeat, settings.poll_timeout, settings.linger) == (25, 25, 30)
    assert settings.edge_url == ("http://127.0.0.1:8080",)
    assert settings.publisher_url == "http://127.0.0.1:8081"


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line overrides a variable, and a variable overrides the default."""
    monkeypatch.setenv("COMET_EDGE_PORT", "1234")
    assert load_settings().edge_port == 1234
    assert load_settings(edge_port=5).edge_port == 5


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("", ()),
        ("*", ()),
        ("https://a.example", ("https://a.example",)),
        (" https://a.example/ ,, http://b:8000 ", ("https://a.example", "http://b:8000")),
    ],
)
def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, origins: tuple[str, ...]) -> None:
    """Blanks, empty parts and a last slash do not matter; a star allows all, like nothing."""
    monkeypatch.setenv("COMET_ALLOWED_ORIGINS", value)
    assert load_settings().allowed_origins == origins


KEY, OTHER = "a-key-of-16-chars", "b-key-of-16-chars"


@pytest.mark.parametrize(("value", "keys"), [("", ()), (KEY, (KEY,)), (f" {KEY} ,, {OTHER}", (KEY, OTHER))])
def test_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, value: str, keys: tuple[str, ...]) -> None:
    """Several are good at a time, so that they can be changed one after the other."""
    monkeypatch.setenv("COMET_PUBLISH_KEYS", value)
    assert load_settings().publish_keys == keys


@pytest.mark.parametrize(
    "value", ["secret", f"{KEY},secret", "secret but with blanks", "secretsecretsecret\xe4", ",", " "]
)
def test_a_bad_key_stops_the_process_and_is_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Too short, not sendable, or no key at all where one was meant: it shows at the start and not later."""
    monkeypatch.setenv("COMET_PUBLISH_KEYS", value)
    with pytest.raises(SettingsError, match=r"^COMET_PUBLISH_KEYS=\(not shown\): ") as caught:
        load_settings()
    assert "secret" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("variable", ["COMET_PUBLISH_KEYS", "COMET_ADMIN_KEYS"])
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("shop:secretsecretsecret,blog:secret", "that of entry 2 is another"),
        ("shop:secretsecretsecret,shop:secret-secret-secret", "entry 2 has the same name as one before it"),
        ("shop:secretsecretsecret,blog:secretsecretsecret", "entry 2 has the same key as one before it"),
        ("shop:secretsecretsecret:", "entry 1"),
        ("secret:secretsecretsecret:secret*secret", "entry 1"),
    ],
)
def test_a_faulty_entry_of_keys_is_named_by_its_place(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    """One line; neither its key nor its name, which may be the key in the wrong place, is shown."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    line = str(caught.value)
    assert line.startswith(f"{variable}=(not shown): ")
    assert (sentence in line, "secret" in line, "\n" in line) == (True, False, False)


def test_keys_are_not_in_what_is_printed_of_the_settings() -> None:
    """A traceback or a debug line shows no key and no password."""
    shown = repr(load_settings(publish_keys=KEY, admin_keys=f"ops:{OTHER}", redis_url="redis://user:secret@host"))
    assert KEY not in shown
    assert OTHER not in shown
    assert "secret" not in shown


def test_unknown_variables_are_told_with_the_nearest_name() -> None:
    """A slip of the pen is named, and what was probably meant; other programs' variables are not our business."""
    environment = {"COMET_EDGEPORT": "1", "COMET_LINGER": "5", "HOME": "/", "comet_x": "1"}
    assert unknown_variables(environment) == [
        "COMET_EDGEPORT is not a setting of this version; did you mean COMET_EDGE_PORT?",
    ]


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("COMET_DRAIN", "COMET_DRAIN_SECONDS"),
        ("COMET_DRAIN_SECOND", "COMET_DRAIN_SECONDS"),
        ("COMET_MAX_CONN", "COMET_MAX_CONNECTIONS"),
        ("COMET_KEYS", "COMET_PUBLISH_KEYS"),
        ("COMET_REDIS", "COMET_REDIS_URL"),
        ("COMET_HISTROY_SIZE", "COMET_HISTORY_SIZE"),
        ("COMET_EDGE_PORT_NUMBER", "COMET_EDGE_PORT"),
    ],
)
def test_the_nearest_name_is_always_told(slip: str, meant: str) -> None:
    """A name that is a part of another is nearer than one that only looks like it."""
    assert unknown_variables({slip: ""}) == [f"{slip} is not a setting of this version; did you mean {meant}?"]


def test_every_setting_is_a_known_variable_and_described() -> None:
    """The documentation is made from the descriptions, so that none may be missing."""
    assert unknown_variables({PREFIX + name.upper(): "" for name in Settings.model_fields}) == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("value", "edges"),
    [
        ("/", ("/",)),
        ("https://push.example/", ("https://push.example",)),
        ("http://a:1, http://b:2/comet ,", ("http://a:1", "http://b:2/comet")),
    ],
)
def test_edges_are_a_list(monkeypatch: pytest.MonkeyPatch, value: str, edges: tuple[str, ...]) -> None:
    """Addresses are separated by commas, without a slash at the end; `/` stands for the page's own origin."""
    monkeypatch.setenv("COMET_EDGE_URL", value)
    assert load_settings().edge_url == edges


@pytest.mark.parametrize("value", ["", ",", "push.example", "ftp://a", "http://", "http://a:x", "http://a?x=1"])
def test_an_edge_without_an_address_stops_the_process(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """What a browser could not open is refused in one line that names the variable."""
    monkeypatch.setenv("COMET_EDGE_URL", value)
    with pytest.raises(SettingsError, match="COMET_EDGE_URL"):
        load_settings()
