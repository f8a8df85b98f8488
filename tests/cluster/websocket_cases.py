"""The cases 1 to 10 that WebSocket servers are commonly tried with, as they apply to an edge: what is sent, what comes.

The numbers are those of the public list of a fuzzing client. There a server returns each message as it came. An edge
answers operations: the sound messages here are pings with a `ref`, made as long as the case wants by blanks behind, and
the answer repeats the `ref`. What differs for this reason:

1   Binary messages are not echoed but refused with 1003, whatever their size. A text that is no JSON, such as the empty
    one, is answered with an error object, and the connection stays.
6.4 A text that is not UTF-8 is refused when the message is complete, not at its first wrong byte.
9   Its messages have up to 16 MB. Here they end at the limit of 16,384 bytes, and one byte more is 1009; how long it
    takes is not asked (`bench/`).
12, 13  are about compression, which an edge does not offer.
"""

import json
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from wsproto.frame_protocol import FrameProtocol

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
LIMIT = 16384
GREETING = "κόσμε 👋"


class Case(NamedTuple):
    """What is sent, each piece in a packet of its own, and what comes back; the last is the close code."""

    pieces: Sequence[bytes]
    answers: Sequence[str]


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Return a client's frame, masked by wsproto; it may be one that wsproto itself would not send."""
    data = FrameProtocol(client=True, extensions=[]).send_data(payload)
    data[0] = fin << 7 | rsv << 4 | opcode
    return bytes(data)


def ping(ref: str = "r", size: int = 0) -> bytes:
    """Return the text of an operation that is answered with `pong REF`, of at least this many bytes."""
    return json.dumps({"op": "ping", "ref": ref}, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)


def text(ref: str = "r", size: int = 0) -> bytes:
    """Return such an operation as one frame."""
    return frame(TEXT, ping(ref, size))


def closing(code: int, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, code.to_bytes(2) + reason)


def cut(data: bytes, size: int = 1) -> list[bytes]:
    """Return data in pieces of this size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def fragments(parts: Sequence[bytes]) -> list[bytes]:
    """Return a message in one frame for each part."""
    last = len(parts) - 1
    return [frame(CONT if at else TEXT, part, fin=at == last) for at, part in enumerate(parts)]


def stays(pieces: Sequence[bytes], *answers: str) -> Case:
    """Return a case after which the client closes."""
    return Case([*pieces, closing(1000)], [*answers, "close 1000"])


def ends(code: int, pieces: Sequence[bytes], *answers: str) -> Case:
    """Return a case at whose end the edge closes."""
    return Case(pieces, [*answers, f"close {code}"])


def woven(parts: Sequence[bytes]) -> list[bytes]:
    """Return a message in fragments with a ping before each but the first."""
    first, *others = fragments(parts)
    return [first, *(piece for other in others for piece in (frame(PING, b"p"), other))]


HELLO, NO_FIRST = cut(ping(), 9), frame(CONT, b"nothing to go on with")
NO_FIRST_OPEN = frame(CONT, b"nothing to go on with", fin=False)
FIVE = list(islice(cut(ping(), 5), 5))

FRAMING: dict[str, Case] = {
    "1.1.1 an empty text": stays([frame(TEXT)], "error 400"),
    **{f"1.1 a text of {size} bytes": stays([text(size=size)], "pong r") for size in (125, 126, 127, 128, LIMIT)},
    **{f"1.1 a text of {size} bytes": ends(1009, [text(size=size)]) for size in (LIMIT + 1, 65535, 65536)},
    "1.1.8 a text of 16384 bytes in packets of 997": stays(cut(text(size=LIMIT), 997), "pong r"),
    **{
        f"1.2 a binary of {size} bytes": ends(1003, [frame(BINARY, b"\xfe" * size)]) for size in (0, 125, 126, 127, 128)
    },
    "1.2.8 a binary in packets of 997": ends(1003, cut(frame(BINARY, b"\xfe" * LIMIT), 997)),
}

PINGS: dict[str, Case] = {
    "2.1 an empty ping": stays([frame(PING)], "PONG b''"),
    "2.2 a ping with a text": stays([frame(PING, b"Hello, world!")], "PONG b'Hello, world!'"),
    "2.3 a ping with bytes": stays([frame(PING, b"\x00\xff\xfe\xfd")], r"PONG b'\x00\xff\xfe\xfd'"),
    "2.4 a ping of 125 bytes": stays([frame(PING, b"a" * 125)], f"PONG {b'a' * 125!r}"),
    "2.5 a ping of 126 bytes": ends(1002, [frame(PING, b"a" * 126)]),
    "2.6 a ping byte by byte": stays(cut(frame(PING, b"a" * 125)), f"PONG {b'a' * 125!r}"),
    "2.7 a pong that nobody asked for": stays([frame(PONG)]),
    "2.8 such a pong with a payload": stays([frame(PONG, b"unasked")]),
    "2.9 such a pong, then a ping": stays([frame(PONG, b"unasked"), frame(PING, b"p")], "PONG b'p'"),
    "2.10 ten pings": stays([frame(PING, b"%d" % n) for n in range(10)], *(f"PONG b'{n}'" for n in range(10))),
    "2.11 ten pings byte by byte": stays(
        cut(b"".join(frame(PING, b"%d" % n) for n in range(10))), *(f"PONG b'{n}'" for n in range(10))
    ),
}

RESERVED: dict[str, Case] = {
    "3.1 a text with bit 1": ends(1002, [frame(TEXT, ping(), rsv=1)]),
    "3.2 a text, one with bit 2, a ping": ends(1002, [text() + frame(TEXT, ping(), rsv=2) + frame(PING)], "pong r"),
    "3.3 the same frame by frame": ends(1002, [text(), frame(TEXT, ping(), rsv=3), frame(PING)], "pong r"),
    "3.4 the same byte by byte": ends(1002, cut(text() + frame(TEXT, ping(), rsv=4)), "pong r"),
    "3.5 a binary with bits": ends(1002, [frame(BINARY, b"\0", rsv=5)]),
    "3.6 a ping with bits": ends(1002, [frame(PING, b"p", rsv=6)]),
    "3.7 a close with bits": ends(1002, [frame(CLOSE, b"\x03\xe8", rsv=7)]),
    **{f"4.1 opcode {opcode}": ends(1002, [frame(opcode)]) for opcode in (3, 4, 5, 6, 7)},
    **{f"4.1 opcode {opcode} with a payload": ends(1002, [frame(opcode, b"x")]) for opcode in (3, 4, 5, 6, 7)},
    **{f"4.2 opcode {opcode}": ends(1002, [frame(opcode)]) for opcode in range(11, 16)},
    **{f"4.2 {opcode} behind a text": ends(1002, [text(), frame(opcode, b"x")], "pong r") for opcode in range(11, 16)},
    "5.1 a ping in two fragments": ends(1002, [frame(PING, b"a", fin=False), frame(CONT, b"b")]),
    "5.2 a pong in two fragments": ends(1002, [frame(PONG, b"a", fin=False), frame(CONT, b"b")]),
}  # fmt: skip

FRAGMENTS: dict[str, Case] = {
    "5.3 a text in fragments, at once": stays([b"".join(fragments(HELLO))], "pong r"),
    "5.4 fragment by fragment": stays(fragments(HELLO), "pong r"),
    "5.5 byte by byte": stays(cut(b"".join(fragments(HELLO))), "pong r"),
    "5.6 pings between fragments, at once": stays([b"".join(woven([HELLO[0], ping()[9:]]))], "PONG b'p'", "pong r"),
    "5.7 the same frame by frame": stays(woven([HELLO[0], ping()[9:]]), "PONG b'p'", "pong r"),
    "5.8 the same byte by byte": stays(cut(b"".join(woven([HELLO[0], ping()[9:]]))), "PONG b'p'", "pong r"),
    "5.9 a last fragment of nothing, at once": ends(1002, [NO_FIRST + text()]),
    "5.10 the same frame by frame": ends(1002, [NO_FIRST, text()]),
    "5.11 the same byte by byte": ends(1002, cut(NO_FIRST + text())),
    "5.12 a fragment of nothing, at once": ends(1002, [NO_FIRST_OPEN + text()]),
    "5.13 the same frame by frame": ends(1002, [NO_FIRST_OPEN, text()]),
    "5.14 the same byte by byte": ends(1002, cut(NO_FIRST_OPEN + text())),
    "5.15 a fragment of nothing behind a text": ends(1002, [*fragments(HELLO), NO_FIRST_OPEN, text()], "pong r"),
    "5.16 fragments of nothing, again and again": ends(1002, [NO_FIRST_OPEN, *fragments(HELLO)] * 2),
    "5.17 last fragments of nothing, again and again": ends(1002, [NO_FIRST, *fragments(HELLO)] * 2),
    "5.18 a text in the middle of another": ends(1002, [frame(TEXT, b"a", fin=False), frame(TEXT, b"b")]),
    "5.19 five fragments with pings between": stays(woven(FIVE), *["PONG b'p'"] * 4, "pong r"),
    "5.20 the same at once": stays([b"".join(woven(FIVE))], *["PONG b'p'"] * 4, "pong r"),
}

GREET = ping(GREETING)
SOUND = {  # what UTF-8 has at its ends, and what is no character and yet legal
    "6.2 letters of two to four bytes": GREETING,
    "6.7 first of each length": "\x80\u0800\U00010000",
    "6.9 last of each length": "\x7f\u07ff\uffff\U0010ffff",
    "6.11 beside the surrogates": "\ud7ff\ue000\ufffd",
    "6.22 no characters": "\ufffe\uffff\U0001fffe\U0010fffe",
    "6.23 specials": "\ufff9\ufffa\ufffb\ufffc\ufffd",
}
BROKEN = {
    "6.6 a cut character": "κόσμ".encode() + b"\xce",
    "6.8 five and six bytes": b"\xf8\x88\x80\x80\x80\xfc\x84\x80\x80\x80\x80",
    "6.10 the last of five and six bytes": b"\xfb\xbf\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf\xbf",
    "6.11 beyond the last": b"\xf4\x90\x80\x80",
    "6.12 bytes that only go on": b"\x80\xbf\x80\xbf\x80",
    "6.13 bytes that only begin": b"\xc0 \xc1 \xe0 \xf0 ",
    "6.14 the last byte is missing": b"\xdf",
    "6.15 unfinished ones in a row": b"\xc0\xe0\x80\xf0\x80\x80\xdf\xef\xbf\xf7\xbf\xbf",
    "6.16 bytes that never are": b"\xfe\xff",
    "6.17 a slash that is too long": b"\xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xaf",
    "6.18 the largest that are too long": b"\xc1\xbf\xe0\x9f\xbf\xf0\x8f\xbf\xbf",
    "6.19 a NUL that is too long": b"\xc0\x80\xe0\x80\x80",
    "6.20 single surrogates": b"\xed\xa0\x80\xed\xbf\xbf",
    "6.21 paired surrogates": b"\xed\xa0\x80\xed\xb0\x80",
}
UTF8: dict[str, Case] = {
    "6.1.1 a text of no bytes": stays([frame(TEXT)], "error 400"),
    "6.1.2 three empty fragments": stays(fragments([b"", b"", b""]), "error 400"),
    "6.1.3 an empty fragment before and behind": stays(fragments([b"", ping(), b""]), "pong r"),
    **{name: stays([text(word)], f"pong {word}") for name, word in SOUND.items()},
    "6.2.2 fragments between characters": stays(fragments([GREET[:22], GREET[22:]]), f"pong {GREETING}"),
    "6.2.3 fragments of one byte": stays(fragments(cut(GREET)), f"pong {GREETING}"),
    "6.2.4 packets of one byte": stays(cut(frame(TEXT, GREET)), f"pong {GREETING}"),
    "6.3.1 half of a surrogate": ends(1007, [frame(TEXT, b"\xce\xba\xed\xa0\x80edited")]),
    "6.3.2 the same in fragments of one byte": ends(1007, fragments(cut(b"\xce\xba\xed\xa0\x80edited"))),
    "6.4.1 a wrong fragment in the middle": ends(1007, fragments(["κό".encode(), b"\xf4\x90\x80\x80", b"edited"])),
    "6.4.3 the same in packets": ends(1007, cut(frame(TEXT, "κό".encode() + b"\xf4\x90\x80\x80edited"), 6)),
    **{name: ends(1007, [frame(TEXT, data)]) for name, data in BROKEN.items()},
}

CLOSES: dict[str, Case] = {
    "7.1.1 a text, then a close": ends(1000, [text(), closing(1000)], "pong r"),
    "7.1.2 two closes": ends(1000, [closing(1000) * 2]),
    "7.1.3 a ping behind a close": ends(1000, [closing(1000) + frame(PING)]),
    "7.1.4 a text behind a close": ends(1000, [closing(1000) + text()]),
    "7.1.5 a close in the middle of a text": ends(1000, [frame(TEXT, b"a", fin=False) + closing(1000) + frame(CONT)]),
    "7.1.6 a long text, a close, a ping": ends(1000, [text(size=LIMIT) + closing(1000) + frame(PING)], "pong r"),
    "7.3.1 a close without a payload": ends(1005, [frame(CLOSE)]),
    "7.3.2 a close of one byte": ends(1002, [frame(CLOSE, b"\x03")]),
    "7.3.3 a close with a code": ends(1000, [closing(1000)]),
    "7.3.4 a close with a reason": ends(1000, [closing(1000, b"bye")]),
    "7.3.5 the longest reason": ends(1000, [closing(1000, b"b" * 123)]),
    "7.3.6 a reason that is too long": ends(1002, [closing(1000, b"b" * 124)]),
    "7.5.1 a reason that is not UTF-8": ends(1007, [closing(1000, b"\xce\xba\xed\xa0\x80")]),
    **{
        f"7.7 the code {code}": ends(code, [closing(code)])
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"7.9 the code {code}": ends(1002, [closing(code)])
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}

LIMITS: dict[str, Case] = {
    **{
        f"9.3 {LIMIT} bytes in fragments of {size}": stays(fragments(cut(ping(size=LIMIT), size)), "pong r")
        for size in (64, 256, 1024, 4096)
    },
    **{
        f"9.5 {LIMIT} bytes in packets of {size}": stays(cut(text(size=LIMIT), size), "pong r")
        for size in (128, 256, 512, 1024, 2048)
    },
    **{
        f"9.7 a thousand texts of {size} bytes": stays([text(size=size) * 10] * 100, *["pong r"] * 1000)
        for size in (24, 64, 256, 1024)
    },
    "9 one byte over the limit, in fragments": ends(1009, fragments(cut(ping(size=LIMIT + 1), 4096))),
    "10.1.1 fragments of 1300": stays(fragments(cut(ping(size=LIMIT), 1300)), "pong r"),
}

CASES = FRAMING | PINGS | RESERVED | FRAGMENTS | UTF8 | CLOSES | LIMITS
