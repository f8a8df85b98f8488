"""The encodings of a body: gzip and deflate are undone here, so that no body costs more than a body may have. Pure.

aiohttp would inflate a body before anything of ours sees it: 65 KB that inflate to 64 MB cost the publisher 0.3 s each,
although they are refused then. Here the inflating stops at the first byte too many.
"""

import zlib

from common.errors import BadRequestError, RequestError, TooLargeError

UNSUPPORTED_MEDIA_TYPE = 415
ENCODINGS = ("identity", "gzip", "deflate")
MAX_RATIO = 20  # of what a body inflates to, to its bytes; text of people and programs has 3 to 15
ANY_RATIO_BYTES = 65_536  # that a body may inflate to however short it is: many equal messages
GZIP_WINDOW = zlib.MAX_WBITS | 16
ZLIB_METHOD = 8  # the low bits of the first byte of a deflated body with a header (RFC 1950); some send it without


def check_encoding(header: str) -> str:
    """Return the encoding that a `Content-Encoding` header names; raises `RequestError` if it is not read."""
    name = header.strip().lower()
    if name not in ENCODINGS:
        sentence = "content-encoding: only gzip and deflate are read here; send the body in one of them, or as it is"
        raise RequestError(sentence, UNSUPPORTED_MEDIA_TYPE)
    return name


def decode_body(encoding: str, body: bytes, limit: int) -> bytes:
    """Return what was encoded, at most `limit` bytes of it.

    Raises `TooLargeError` if it is more, or more than MAX_RATIO times the body, and `BadRequestError` if the body is
    not in this encoding, is cut off, or goes on behind its end.
    """
    if encoding == "identity" or not body:
        return body
    most = min(limit, max(MAX_RATIO * len(body), ANY_RATIO_BYTES))
    decoder = zlib.decompressobj(_window(encoding, body))
    try:
        data = decoder.decompress(body, most + 1)
    except zlib.error:
        raise _broken(encoding) from None
    if len(data) > most:
        raise TooLargeError(_too_large(len(body), most, limit))
    if not decoder.eof or decoder.unused_data:
        raise _broken(encoding)
    return data


def _window(encoding: str, body: bytes) -> int:
    if encoding == "gzip":
        return GZIP_WINDOW
    return zlib.MAX_WBITS if body[0] & 0xF == ZLIB_METHOD else -zlib.MAX_WBITS


def _too_large(size: int, most: int, limit: int) -> str:
    if most == limit:
        return (
            f"the body inflates to more than {limit} bytes, the most that a body may have; publish in several requests"
        )
    return (
        f"the body inflates to more than {most} bytes, {MAX_RATIO} times the {size} that were sent; "
        "send it as it is, without Content-Encoding"
    )


def _broken(encoding: str) -> BadRequestError:
    return BadRequestError(f"the body is broken: it is not {encoding}, as content-encoding says, or not all of it")
