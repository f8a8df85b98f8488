"""Encoded bodies: gzip and deflate are undone up to the limits, and refused at the first byte over them."""

import gzip
import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import BadRequestError, RequestError, TooLargeError
from publisher.body.encoding import ANY_RATIO_BYTES, MAX_RATIO, check_encoding, decode_body

LIMIT = 1 << 20
NOISE = random.Random(5).randbytes(4096).hex().encode()  # inflates to twice its bytes


def bare(data: bytes) -> bytes:
    """Deflate without a header, as some clients do."""
    encoder = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return encoder.compress(data) + encoder.flush()


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "bare deflate": bare}


@pytest.mark.parametrize("encoder", ENCODERS)
@given(data=st.binary(max_size=2000))
def test_what_was_encoded_comes_back(encoder: str, data: bytes) -> None:
    """Deflate with and without its header."""
    assert decode_body(encoder.rpartition(" ")[2], ENCODERS[encoder](data), LIMIT) == data


def test_a_body_without_an_encoding_is_as_it_was_sent() -> None:
    """It may look like anything; an empty one has nothing to be undone."""
    body = gzip.compress(b"abc")
    assert decode_body("identity", body, LIMIT) is body
    assert decode_body("gzip", b"", LIMIT) == b""


@given(body=st.binary(min_size=1, max_size=200), encoding=st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_are_read_or_refused(body: bytes, encoding: str) -> None:
    """Nothing else is raised, and no more comes out than may."""
    data = b""
    with suppress(BadRequestError, TooLargeError):
        data = decode_body(encoding, body, LIMIT)
    assert len(data) <= ANY_RATIO_BYTES


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("spoilt", ["cut", "longer", "twice"])
def test_a_body_that_ends_elsewhere_is_400(encoder: str, spoilt: str) -> None:
    """Cut off, or with more behind its end."""
    body = ENCODERS[encoder](NOISE)
    bodies = {"cut": body[:-1] if encoder != "bare deflate" else body[:-9], "longer": body + b"x", "twice": 2 * body}
    with pytest.raises(BadRequestError, match="the body is broken: it is not "):
        decode_body(encoder.rpartition(" ")[2], bodies[spoilt], LIMIT)


def test_the_limit_is_that_of_any_body() -> None:
    """So many bytes are allowed, and one more is not; the sentence names the limit."""
    body = gzip.compress(NOISE)
    assert decode_body("gzip", body, len(NOISE)) == NOISE
    with pytest.raises(TooLargeError, match=f"inflates to more than {len(NOISE) - 1} bytes, the most that a body may"):
        decode_body("gzip", body, len(NOISE) - 1)


def test_a_body_inflates_to_twenty_times_its_bytes() -> None:
    """One that is short may inflate to 64 KiB, for it costs nothing."""
    assert decode_body("gzip", gzip.compress(b"0" * ANY_RATIO_BYTES), LIMIT) == b"0" * ANY_RATIO_BYTES
    with pytest.raises(TooLargeError, match=f"more than {ANY_RATIO_BYTES} bytes, {MAX_RATIO} times the"):
        decode_body("gzip", gzip.compress(b"0" * (ANY_RATIO_BYTES + 1)), LIMIT)
    assert decode_body("gzip", gzip.compress(2 * NOISE), LIMIT) == 2 * NOISE


def test_a_bomb_is_inflated_no_further_than_that() -> None:
    """What comes out of the decoder has the limit, so a bomb costs what that costs."""
    bomb = zlib.compress(bytes(1 << 24), 9)
    with pytest.raises(TooLargeError, match="more than"):
        decode_body("deflate", bomb, 1 << 23)


@pytest.mark.parametrize(("header", "encoding"), [("gzip", "gzip"), ("GZIP", "gzip"), (" deflate ", "deflate")])
def test_encodings_that_are_read_pass(header: str, encoding: str) -> None:
    """In capitals, too."""
    assert check_encoding(header) == encoding


@pytest.mark.parametrize("name", ["br", "zstd", "gzip, gzip", "x-gzip", "", "compress"])
def test_other_encodings_are_415(name: str) -> None:
    """Whatever this Python could read by chance."""
    with pytest.raises(RequestError, match=r"^content-encoding: only gzip and deflate are read here") as caught:
        check_encoding(name)
    assert caught.value.status == 415
