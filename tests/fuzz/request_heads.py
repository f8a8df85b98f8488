"""Request heads: what a stranger's first bytes may become.

A head that parses is within the limits, reads the same when it is written again, and by the short way as by the long
one; no beginning of it is refused. A GET then asks for channels within the limits, or is refused; and nothing of it
gets into the head of the answer but what belongs there.
"""

from urllib.parse import quote

from common.errors import RequestError
from common.names import check_channel
from edge.framing.http import Variant, preflight
from edge.framing.items import welcome_item
from edge.protocol import http
from edge.protocol.http import HEAD_END, Request, check_unfinished, parse_request
from edge.protocol.limits import MAX_CHANNELS, USUAL_LIMITS
from edge.protocol.origins import Origins
from edge.protocol.subscribe import MAX_HISTORY, MAX_POLL_SECONDS, SubscribeRequest, negotiate
from tests.fuzz.refusals import check_head, check_refusal

MALFORMED = {400, 411, 413, 414, 431, 505}
REFUSED = {400, 403, 404, 426}
ORIGINS = (Origins(()), Origins(("https://app.example", "https://*.shop.example", "null")))
UNTOUCHED = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%?#")  # by `quote`
CUTS = 16


def check(data: bytes) -> None:
    """Look at what a connection begins with."""
    data = data.lstrip(b"\r\n")
    end = data.find(HEAD_END) + len(HEAD_END)
    try:
        if end < len(HEAD_END):
            check_unfinished(data)
            return
        request = parse_request(data[:end])
    except RequestError as error:
        check_refusal(error, MALFORMED)
        return
    _check_request(request)
    _check_beginnings(data[:end])
    assert fields(http._parse(data[:end], USUAL_LIMITS)) == fields(request), "the short way and the long one differ"
    _check_written_again(request)
    _check_answer(request)


def fields(request: Request) -> tuple[object, ...]:
    """Return what a request says; an empty line of a list leaves a blank behind, which the next reader drops."""
    headers = {name: value.rstrip(" ") for name, value in request.headers.items()}
    others = (getattr(request, name) for name in Request.__slots__ if name != "headers")
    return headers, *others


def _check_request(request: Request) -> None:
    assert request.path.startswith("/") or (request.method, request.path) == ("OPTIONS", "*")
    assert 0 <= request.length <= USUAL_LIMITS.max_body_bytes
    assert not request.length or http.is_change(request.method, request.path, request.headers)
    assert len(request.headers) <= USUAL_LIMITS.max_headers
    assert not (request.http10 and (request.keep_alive or request.wants_continue))
    for name, value in request.headers.items():
        assert name == name.lower()
        assert not set("\r\n\0").intersection(name + value)


def _check_beginnings(head: bytes) -> None:
    """A request that comes in pieces is as good as one that comes whole."""
    for cut in range(1, len(head), max(1, len(head) // CUTS)):
        if HEAD_END not in head[:cut]:
            check_unfinished(head[:cut])


def _check_written_again(request: Request) -> None:
    target = quote(request.path, safe=UNTOUCHED) + ("?" + request.query if request.query else "")
    lines = [f"{request.method} {target} HTTP/1.{0 if request.http10 else 1}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    again = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    max_target = USUAL_LIMITS.max_url_bytes - 32
    if len(target) <= max_target and len(again) <= USUAL_LIMITS.max_head_bytes:  # escapes may have made it longer
        assert fields(parse_request(again)) == fields(request)


def _check_answer(request: Request) -> None:
    if request.method == "OPTIONS":
        answer = preflight(request.headers.get("access-control-request-headers", ""), Variant())
        check_head(answer.removesuffix(HEAD_END))
    if request.method == "GET":
        for origins in ORIGINS:
            _check_subscribe(request, origins)


def _check_subscribe(request: Request, origins: Origins) -> None:
    try:
        asked, framing = negotiate(request, origins, closing=False)
    except RequestError as error:
        check_refusal(error, REFUSED)
        return
    _check_asked(asked)
    items = [welcome_item(name, "1-2", session="s" * 33) for name in asked.channels]
    answer = framing.head(1000, asked.ws_accept) + framing.encode(items, "1-2")
    check_head(answer.partition(HEAD_END)[0])
    check_head(framing.refusal(503, "full", 1.5).partition(HEAD_END)[0])


def _check_asked(asked: SubscribeRequest) -> None:
    assert len(asked.channels) <= MAX_CHANNELS
    assert len(set(asked.channels)) == len(asked.channels)
    assert asked.channels or asked.transport == "ws"
    for name in asked.channels:
        check_channel(name)
    assert asked.since is None or len(asked.since) == len(asked.channels)
    assert asked.timeout is None or 0 <= asked.timeout <= MAX_POLL_SECONDS
    assert 0 <= asked.history <= MAX_HISTORY
    assert (asked.callback + asked.session).isascii()
    assert bool(asked.ws_accept) == (asked.transport == "ws")
