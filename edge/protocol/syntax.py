"""The grammar of a request head, as strict as RFC 9112 has it: httptools reads more than that. Pure.

What is refused here is what two servers on one way may understand differently, and what no client of HTTP sends.
"""

import re

from common.errors import BadRequestError, RequestError

LINE_ENDS = (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")
_LINE = re.compile(rb"[A-Z-]{1,32} [!-~]+ HTTP/([0-9]\.[0-9])")
_SIMPLE_LINE = re.compile(rb"GET /[!-~]*")  # HTTP/0.9
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n)*\r\n")
_AUTHORITY = r"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Za-z:.%_~-]+\])(?::[0-9]{0,5})?"
_HOST = re.compile(rf"(?:{_AUTHORITY})?", re.ASCII)  # it may be empty (RFC 9112 section 3.2)
_ABSOLUTE = re.compile(rf"[Hh][Tt][Tt][Pp][Ss]?://{_AUTHORITY}(?P<rest>[/?#].*)?", re.ASCII | re.DOTALL)
REQUEST_LINE = (
    "its first line is METHOD TARGET HTTP/1.1 with one space between; "
    "what is not printable ASCII is percent-encoded in the target"
)


def malformed(reason: object) -> BadRequestError:
    """Return the error for what is not a request."""
    return BadRequestError(f"this is not a well-formed HTTP/1.1 request: {reason}")


def check_line(line: bytes) -> None:
    """Raise `RequestError` unless this is the first line of a request, without its end: 400, or 505 for a version."""
    match = _LINE.fullmatch(line)
    version = match[1].decode() if match else "0.9" if _SIMPLE_LINE.fullmatch(line) else ""
    if not version:
        raise malformed(REQUEST_LINE)
    if version not in {"1.0", "1.1"}:
        raise RequestError(f"HTTP/{version} is not supported here; use HTTP/1.1", 505)


def check_fields(block: bytes) -> None:
    """Raise `BadRequestError` unless these are header lines, each with its end, and an empty line."""
    if _FIELDS.fullmatch(block) is None:
        lines = block[: -len(b"\r\n\r\n")].split(b"\r\n")
        raise malformed(_fault_of(next((line for line in lines if not _FIELD.fullmatch(line)), b"")))


def check_host(value: str) -> None:
    """Raise `BadRequestError` unless a Host header names a host, and maybe a port."""
    if _HOST.fullmatch(value) is None:
        raise BadRequestError("Host: give a name or an address, and a port if need be, like edge.example:8080")


def origin_form(target: bytes, method: str) -> bytes:
    """Return a target from its path on; it may be a whole URL, or for OPTIONS a star (RFC 9112 section 3.2)."""
    if target.startswith(b"/") or (target == b"*" and method == "OPTIONS"):
        return target
    match = _ABSOLUTE.fullmatch(target.decode("latin-1"))
    if match is None:
        raise malformed("its target begins with / or is a whole http URL")
    rest = (match["rest"] or "").encode("latin-1")
    return rest if rest.startswith(b"/") else b"/" + rest


def _fault_of(line: bytes) -> str:
    """Say what is wrong with a header line."""
    if line.startswith((b" ", b"\t")):
        return "a header line begins with a blank; write each header on one line"
    if b"\n" in line or b"\r" in line:
        return "each line ends with CR LF, and neither stands alone"
    return "a header line is NAME: VALUE, without a blank before the colon and without control characters"
