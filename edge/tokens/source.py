"""What COMET_TOKEN_KEY says: a secret, a file with a secret, a public key or a JWKS, or the address of a JWKS.

Nothing in an error is of a secret.
"""

from pathlib import Path

from common.errors import SettingsError
from common.settings_values import FILE, is_key_address
from edge.tokens.fetched import FetchedKeys
from edge.tokens.keys import KeySet, jwks_keys, pem_key, secret_key

MAX_FILE_BYTES = 1_048_576


class FixedKeys:
    """Keys that stay as they are."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    def current(self) -> KeySet:
        """Return them."""
        return self._keys

    def look_again(self) -> None:
        """Do nothing: there are no others."""

    def start(self) -> None:
        """Do nothing: they are here."""

    async def close(self) -> None:
        """Do nothing."""


def keys_of(setting: str) -> FixedKeys | FetchedKeys:
    """Return the keys that COMET_TOKEN_KEY names; raises SettingsError with one line if there are none.

    Those of a JWKS's address come only after `start`, which the caller ends with `close`.
    """
    if is_key_address(setting):
        return FetchedKeys(setting)
    try:
        return FixedKeys(_from_file(setting.removeprefix(FILE)) if setting.startswith(FILE) else _of_secret(setting))
    except ValueError as error:
        raise SettingsError(f"COMET_TOKEN_KEY=(not shown): {error}") from None


def _of_secret(text: str) -> KeySet:
    return KeySet([secret_key(text.encode())])


def _from_file(path: str) -> KeySet:
    """Return the keys in a file, whose content says what it is; raises ValueError with a sentence."""
    content = _read(path)
    try:
        return _keys_in(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _keys_in(content: bytes) -> KeySet:
    if b"-----BEGIN" in content:
        return KeySet([pem_key(content)])
    if content.lstrip().startswith(b"{"):
        keys, faults = jwks_keys(content, may_hold_secrets=True)
        if not keys.keys:
            raise ValueError(faults[0] if faults else "there is no key in the JWKS")
        return keys
    return KeySet([secret_key(content.rstrip(b"\r\n"))])  # the end of its line is not of a secret


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "this is not a path"
        raise ValueError(f"{path}: cannot be read: {why}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path}: a key has at most {MAX_FILE_BYTES} bytes")
    return content
