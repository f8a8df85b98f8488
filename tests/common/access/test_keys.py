"""Keys: what an entry of a setting means, whom a header shows, and that nothing of a key is shown anywhere."""

import random
import string

import pytest

from common.access.keys import NOBODY, KeyRing, read_admin_keys, read_publish_keys, uses_of
from common.errors import RequestError, UnauthorizedError

KEY, OTHER = "a-key-of-16-chars", "b-key-of-16-chars"
ALPHABET = string.ascii_letters + string.digits + "-._~+/= \t\r\n:*,%\x00\x1f\x85\xa0äж\udc80\ud800\U0001f511"


def ring(*entries: str) -> KeyRing:
    """Return the keys of a setting that names them so."""
    return KeyRing("COMET_PUBLISH_KEYS", read_publish_keys(entries))


@pytest.mark.parametrize(
    ("entry", "name", "channels"),
    [
        (KEY, "key-1", []),
        (f"shop:{KEY}", "shop", []),
        (f"shop:{KEY}:order:* stock", "shop", ["order:*", "stock"]),
        (f"shop:{KEY}:  a:b:c*\td  ", "shop", ["a:b:c*", "d"]),
        (f"shop:{KEY}:*", "shop", ["*"]),
        ("Shop_1.x-y:~+/=._-AZaz09~~~~", "Shop_1.x-y", []),
    ],
)
def test_an_entry_has_a_name_a_key_and_channels(entry: str, name: str, channels: list[str]) -> None:
    """It is split at the first two colons, its channels at blanks; a bare key is named for its place."""
    (key,) = read_publish_keys([entry])
    assert (key.name, key.channels.texts, key.only_reads) == (name, channels, False)


def test_bare_keys_are_named_for_their_places() -> None:
    """Those with names count, too."""
    keys = read_publish_keys([KEY, f"shop:{OTHER}", "c-key-of-16-chars"])
    assert [key.name for key in keys] == ["key-1", "shop", "key-3"]


def test_a_bare_key_may_be_repeated() -> None:
    """It counts once, at its first place; the others keep theirs."""
    keys = read_publish_keys([KEY, KEY, OTHER, KEY])
    first, second = ring(KEY), ring(OTHER)
    assert [key.name for key in keys] == ["key-1", "key-3"]
    assert [key.digest for key in keys] == [key.digest for keys in (first, second) for key in keys]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (["secret"], r"each key needs at least 16 characters of .*; that of entry 1 is another$"),
        ([KEY, "secretsecretsecret\xe4"], "that of entry 2 is another$"),
        (["shop:secret"], "that of entry 1 is another$"),
        (["secretsecretsecretsecret:shop"], "that of entry 1 is another$"),
        ([":secretsecretsecret"], "^the name of entry 1 must have 1 to 32 characters of "),
        (["se cret:secretsecretsecret"], "^the name of entry 1 "),
        (["s" * 33 + ":secretsecretsecret"], "^the name of entry 1 "),
        (["shop::secretsecretsecret"], "that of entry 1 is another$"),
        (["shop:secretsecretsecret:"], "^after the key of entry 1 there must be channels"),
        (["shop:secretsecretsecret: "], "^after the key of entry 1 there must be channels"),
        (["shop:secretsecretsecret:a secret*secret"], "^after the key of entry 1 there must be channels"),
        (["shop:secretsecretsecret", "shop:secret-secret-secret"], "^entry 2 has the same name as one before it"),
        (["secret" * 8 + ":customer-notifications"], "^the name of entry 1 "),
        (["secretsecretsecret", "secretsecretsecret", "a:secretsecretsecret"], "^entry 3 has the same key as one"),
        (["a:secretsecretsecret", "secretsecretsecret"], "^entry 2 has the same key as one"),
        (["a:secretsecretsecret:x", "a:secretsecretsecret:x"], "^entry 2 has the same name as one"),
        (["secretsecretsecret", "key-1:secret-secret-secret"], "^entry 2 has the same name as one before it"),
        (
            ["secretsecretsecret", "a:secret-secret-secret", "b:secretsecretsecret:x"],
            "^entry 3 has the same key as one",
        ),
    ],
)
def test_a_faulty_entry_is_named_by_its_place(entries: list[str], sentence: str) -> None:
    """Nothing of it is shown, also if name and key were exchanged."""
    with pytest.raises(ValueError, match=sentence) as caught:
        read_publish_keys(entries)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("entry", "only_reads"), [(f"ops:{KEY}", False), (f"ops:{KEY}:read", True)])
def test_an_operator_may_only_read_or_do_all(entry: str, only_reads: bool) -> None:
    """An entry says so behind its second colon."""
    (key,) = read_admin_keys([entry])
    assert (key.name, key.only_reads, key.channels.texts) == ("ops", only_reads, [])


@pytest.mark.parametrize(
    "entry", ["secretsecretsecret", "ops:secretsecretsecret:write", "ops:secretsecretsecret:read:"]
)
def test_an_operators_key_has_a_name_and_nothing_else(entry: str) -> None:
    """A scope that is not known gives no right by mistake."""
    with pytest.raises(ValueError, match=r"^entry 1 must be NAME:KEY, or NAME:KEY:read$"):
        read_admin_keys([entry])


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY}\t"])
def test_a_header_shows_whose_request_it_is(header: str) -> None:
    """The scheme in any case, blanks around the key."""
    assert ring(f"blog:{OTHER}", f"shop:{KEY}").open(header).name == "shop"


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("", "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"),
        ("Bearer", "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"),
        (f"Basic {KEY}", "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"),
        (KEY, "a key is needed; send Authorization: Bearer KEY with one of COMET_PUBLISH_KEYS"),
        ("Bearer wrong", "this key is not one of COMET_PUBLISH_KEYS"),
        (f"Bearer {KEY}x", "this key is not one of COMET_PUBLISH_KEYS"),
        (f"Bearer {KEY}\xa0", "this key is not one of COMET_PUBLISH_KEYS"),
        (f"Bearer {KEY} {KEY}", "this key is not one of COMET_PUBLISH_KEYS"),
        (f"Bearer shop:{KEY}", "this key is not one of COMET_PUBLISH_KEYS"),
        ("Bearer " + "k" * 1_000_000, "this key is not one of COMET_PUBLISH_KEYS"),
    ],
)
def test_without_a_right_key_nobody_is_let_in(header: str, sentence: str) -> None:
    """The sentence says whether there was a key."""
    with pytest.raises(UnauthorizedError) as caught:
        ring(f"shop:{KEY}").open(header)
    assert str(caught.value) == sentence


def mutated(source: random.Random, header: str) -> str:
    """Return a header with a few characters changed, added, left out or repeated."""
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(header) + 1)
        change = source.randrange(4)
        if change == 3:
            header = header[:at] + header[source.randrange(len(header) + 1) :]
        else:
            header = header[:at] + source.choice(ALPHABET) * (change < 2) + header[at + (change > 0) :]
    return header


@pytest.mark.system
def test_of_a_million_mutated_keys_none_is_let_in() -> None:
    """And none raises anything."""
    source, keys, rights = random.Random(17), ring(f"shop:{KEY}", f"blog:{OTHER}:news:*"), 0
    for _ in range(1_000_000):
        header = mutated(source, f"Bearer {KEY}")
        scheme, _, given = header.partition(" ")
        is_right = scheme.lower() == "bearer" and given.strip(" \t") in (KEY, OTHER)
        rights += is_right
        assert (keys.find(header) is not None) == is_right, repr(header)
    assert rights < 100_000


def test_each_use_is_counted_by_name() -> None:
    """Also those that are 0, so that an operator sees which key nobody uses; a wrong key is none."""
    publishing, operating = ring(KEY, f"shop:{OTHER}"), KeyRing("COMET_ADMIN_KEYS", read_admin_keys([f"shop:{KEY}"]))
    for header in (f"Bearer {KEY}", f"Bearer {KEY}", "Bearer wrong-wrong-wrong"):
        publishing.find(header)
        operating.find(header)
    assert uses_of(publishing, operating) == {"key-1": 2, "shop": 2}
    assert uses_of(ring(KEY)) == {"key-1": 0}


@pytest.mark.parametrize(
    ("entry", "channel", "is_its"),
    [
        (KEY, "room", True),
        (f"shop:{KEY}:order:* stock", "order:1", True),
        (f"shop:{KEY}:order:* stock", "stock", True),
        (f"shop:{KEY}:order:* stock", "stock:1", False),
        (f"shop:{KEY}:order:* stock", "order", False),
        (f"shop:{KEY}:*", "room", True),
    ],
)
def test_a_key_has_its_channels(entry: str, channel: str, is_its: bool) -> None:
    """The sentence names key and channel, and the status is the same whether there is such a channel or not."""
    (key,) = read_publish_keys([entry])
    if is_its:
        key.check_channel(channel)
        return
    with pytest.raises(RequestError) as caught:
        key.check_channel(channel)
    assert (caught.value.status, str(caught.value)) == (403, f"id: the key 'shop' is not for the channel {channel!r}")


def test_a_key_with_channels_is_not_for_all() -> None:
    """Not even if these are all: who writes them means a key that only publishes."""
    bare, scoped = read_publish_keys([KEY, f"shop:{OTHER}:*"])
    bare.check_scope("another")
    with pytest.raises(RequestError, match=r"^the key 'shop' is for some channels only; this needs another$") as caught:
        scoped.check_scope("another")
    assert caught.value.status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "post"])
def test_a_key_that_only_reads_changes_nothing(method: str) -> None:
    """It is told so."""
    (reader,) = read_admin_keys([f"dashboard:{KEY}:read"])
    for reading in ("GET", "HEAD"):
        reader.check_method(reading)
    with pytest.raises(RequestError, match=r"^the key 'dashboard' may only read$") as caught:
        reader.check_method(method)
    assert caught.value.status == 403


def test_nothing_shows_a_key() -> None:
    """Neither a key, nor a ring of them, nor what they are made of."""
    keys = read_publish_keys([KEY, f"shop:{OTHER}:x"])
    digest = keys[0].digest
    for shown in (repr(keys), str(keys[0]), repr(KeyRing("S", keys)), repr(vars(KeyRing("S", keys)))):
        assert KEY not in shown
        assert OTHER not in shown
        assert repr(digest) not in shown


def test_nobody_may_do_all_where_no_key_is_needed() -> None:
    """Who sends a request there has no name."""
    NOBODY.check_channel("room")
    NOBODY.check_scope("another")
    NOBODY.check_method("POST")
    assert (NOBODY.name, bool(KeyRing()), bool(ring(KEY))) == ("", False, True)
