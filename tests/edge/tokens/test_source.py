"""What COMET_TOKEN_KEY says."""

from pathlib import Path

import pytest

from common.errors import SettingsError, UnavailableError
from edge.tokens.source import keys_of
from tests.edge.tokens.making import SECRET, base64url, jwk, jwks, pem


def in_file(folder: Path, content: bytes) -> str:
    """Return the setting that names a file with this content."""
    path = folder / "token-key"
    path.write_bytes(content)
    return f"file:{path}"


def refused(setting: str) -> str:
    """Return the line that stops the process, without its beginning."""
    with pytest.raises(SettingsError) as caught:
        keys_of(setting)
    start, _, sentence = str(caught.value).partition(": ")
    assert start == "COMET_TOKEN_KEY=(not shown)"
    assert "\n" not in sentence
    return sentence


async def test_a_secret_is_a_key() -> None:
    """It stays as it is."""
    keys = keys_of("ä" * 16)
    keys.start()
    keys.look_again()
    (key,) = keys.current().keys
    assert (key.material, keys.current()) == (("ä" * 16).encode(), keys.current())
    await keys.close()


@pytest.mark.parametrize(
    ("content", "algorithms"),
    [
        (SECRET, ["HS256", "HS384", "HS512"]),
        (b"\x00\xff" * 16, ["HS256", "HS384", "HS512"]),
        (pem("P-256"), ["ES256"]),
        (b"# of the login service\n" + pem("Ed25519"), ["EdDSA"]),
        (jwks(jwk("P-256", kid="a")), ["ES256"]),
        (jwks({"kty": "oct", "k": base64url(SECRET)}), ["HS256", "HS384", "HS512"]),
        (jwks(jwk("2048", use="enc"), jwk("P-384")), ["ES384"]),
    ],
)
def test_a_file_says_by_its_content_what_it_is(tmp_path: Path, content: bytes, algorithms: list[str]) -> None:
    """Whatever its name."""
    (key,) = keys_of(in_file(tmp_path, content)).current().keys
    assert list(key.algorithms) == algorithms


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_a_line_is_not_of_a_secret(tmp_path: Path, end: bytes) -> None:
    """Editors and `openssl` write one."""
    (key,) = keys_of(in_file(tmp_path, SECRET + end)).current().keys
    assert key.material == SECRET


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a secret has at least 32 bytes; `openssl rand -hex 32` makes one"),
        (b"hidden\n" + b"\n" * 40, "a secret has at least 32 bytes; `openssl rand -hex 32` makes one"),
        (
            b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI hidden",
            "this is a key of another kind, or a certificate, and no secret",
        ),
        (b"-----BEGIN PUBLIC KEY-----\nhidden", "this is not a public key in PEM"),
        (b'{"keys": []}', "there is no key in the JWKS"),
        (b'{"hidden": 1}', "a key of the JWKS is of a kind that is not known here"),
        (b"{hidden", "this is not JSON, and so not a JWKS"),
        (jwks(jwk("P-256", d="hidden")), "a key of the JWKS is a private one, which only the maker of tokens may have"),
        (b"hidden" * 200_000, "a key has at most 1048576 bytes"),
    ],
)
def test_a_file_that_holds_no_key_stops_the_process(tmp_path: Path, content: bytes, told: str) -> None:
    """The line names the file and nothing of what is in it."""
    sentence = refused(in_file(tmp_path, content))
    assert sentence.startswith(f"{tmp_path}/token-key: {told}")
    assert "hidden" not in sentence


def test_a_file_that_cannot_be_read_stops_the_process(tmp_path: Path) -> None:
    """In the words of the system."""
    assert refused(f"file:{tmp_path}/none") == f"{tmp_path}/none: cannot be read: No such file or directory"
    assert refused(f"file:{tmp_path}") == f"{tmp_path}: cannot be read: Is a directory"
    assert refused("file:a\x00b") == "a\x00b: cannot be read: this is not a path"


def test_a_public_key_that_is_given_as_a_secret_stops_the_process() -> None:
    """Everybody could make tokens."""
    assert "this is a key of another kind" in refused("".join(pem("2048").decode().splitlines()[1:-1]))


async def test_an_address_has_no_keys_yet() -> None:
    """They are fetched in the background."""
    keys = keys_of("https://login.example/jwks.json")
    with pytest.raises(UnavailableError, match="are not here yet; try again"):
        keys.current()
    await keys.close()
