"""The examples of RFC 7515, appendix A: a secret, RSA and a curve."""

import json

import pytest

from edge.tokens.grant import TokenError, TokenReason
from edge.tokens.keys import KeySet, jwks_keys
from edge.tokens.source import FixedKeys
from edge.tokens.verifier import Verifier

EXPIRES = 1300819380
PAYLOAD = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
A1 = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
A2 = {
    "kty": "RSA",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
    "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapH"
    "g665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRW"
    "yuXpoQ",
    "e": "AQAB",
}
A3 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
SIGNED = [
    (A1, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
    (
        A2,
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr"
        "7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
        "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_Ioy"
        "pGlUPQGe77Rw",
    ),
    (
        A3,
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
]


def verifier(now: float, *keys: dict[str, str]) -> Verifier:
    """Return a verifier with these keys, at a time."""
    found, _ = jwks_keys(json.dumps({"keys": keys}).encode(), may_hold_secrets=True)
    source = FixedKeys(KeySet(found.keys))
    return Verifier(source, audience="", issuer="joe", leeway=0, requires_expiry=True, now=lambda: now)


@pytest.mark.parametrize(("key", "header", "signature"), SIGNED)
def test_an_example_is_good_until_its_time_is_over(key: dict[str, str], header: str, signature: str) -> None:
    """Its key among the others, or alone; by the others it is not."""
    text = f"{header}.{PAYLOAD}.{signature}"
    for keys in ([key], [A1, A2, A3]):
        assert verifier(EXPIRES - 1, *keys).verify(text).expires == EXPIRES
        with pytest.raises(TokenError) as caught:
            verifier(EXPIRES, *keys).verify(text)
        assert caught.value.reason is TokenReason.EXPIRED
    with pytest.raises(TokenError) as caught:
        verifier(EXPIRES - 1, *(each for each in (A1, A2, A3) if each is not key)).verify(text)
    assert caught.value.reason is TokenReason.ALGORITHM


def test_the_example_without_a_signature_is_refused() -> None:
    """Appendix A.5."""
    with pytest.raises(TokenError) as caught:
        verifier(EXPIRES - 1, A1, A2, A3).verify(f"eyJhbGciOiJub25lIn0.{PAYLOAD}.")
    assert caught.value.reason is TokenReason.ALGORITHM
