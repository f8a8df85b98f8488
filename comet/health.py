"""`comet health`: asks the internal port of a service; the exit code is for HEALTHCHECK and scripts."""

import http.client
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from comet.errors import HealthError
from common.errors import CometError

ANSWER_TIMEOUT = 3.0  # seconds; an event loop that hangs never answers
MAX_SHOWN_BYTES = 200  # of the answer
SERVICES = ("edge", "publisher")
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "localhost"}  # where one that listens on all interfaces is asked


class Verdict(NamedTuple):
    """The health of one service, or of several; `listening` says whether a process listens on the port."""

    healthy: bool
    listening: bool
    sentence: str


def check(target: str | None, *, ready: bool) -> int:
    """Print one line about the health of a service and return the exit code."""
    try:
        verdict = health(target, ready=ready)
    except CometError as error:
        verdict = Verdict(False, False, str(error))
    print(verdict.sentence, file=sys.stdout if verdict.healthy else sys.stderr)
    return 0 if verdict.healthy else 1


def health(target: str | None, *, ready: bool) -> Verdict:
    """Ask a service or a URL for `/healthz`, or `/readyz` if `ready`; without a target, every service that runs here.

    Raises `HealthError` if the target is neither, `SettingsError` if the settings that name the port are wrong.
    """
    page = "/readyz" if ready else "/healthz"
    if target is None:
        return combine(ask(name, *internal_port(name), page) for name in SERVICES)
    if target in SERVICES:
        return ask(target, *internal_port(target), page)
    where = read_url(target)
    return ask("server", where.hostname or "", where.port or 80, where.path.rstrip("/") or page)


def internal_port(service: str) -> tuple[str, int]:
    """Return host and port by which this machine reaches the internal port of a service; raises `SettingsError`."""
    from common.settings import load_settings  # noqa: PLC0415  # it takes half of the time of a health check

    settings = load_settings()
    host = LOOPBACK_OF.get(settings.admin_host, settings.admin_host)
    return host, settings.edge_admin_port if service == "edge" else settings.publisher_admin_port


def read_url(target: str) -> SplitResult:
    """Parse a target that is not the name of a service; raises `HealthError` if it is not a plain HTTP URL."""
    where = urlsplit(target)
    try:
        fits = where.scheme == "http" and bool(where.hostname) and where.port != 0
    except ValueError:  # not a port number
        fits = False
    if not fits:
        raise HealthError(f"{target!r} is not edge, publisher or a URL like http://127.0.0.1:9080")
    return where


def ask(name: str, host: str, port: int, page: str) -> Verdict:
    """Ask for one page; only a 200 is healthy."""
    where = f"{name} on {host}:{port}"
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT)) as connection:
            connection.request("GET", page)
            answer = connection.getresponse()
            text = answer.read(MAX_SHOWN_BYTES).decode(errors="replace").strip()
    except ConnectionRefusedError:
        return Verdict(False, False, f"no {where}: nothing listens there")
    except (OSError, http.client.HTTPException) as error:
        return Verdict(False, True, f"{where} does not answer {page}: {error or type(error).__name__}")
    return Verdict(answer.status == 200, True, f"{where} answers {page} with {answer.status} {text}")


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on all services that may run here: at least one must listen, and all that do be healthy."""
    every = list(verdicts)
    listening = [verdict for verdict in every if verdict.listening]
    healthy = bool(listening) and all(verdict.healthy for verdict in listening)
    return Verdict(healthy, bool(listening), "; ".join(verdict.sentence for verdict in listening or every))
