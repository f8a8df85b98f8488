"""`comet health`: one question to the internal port of a service; HEALTHCHECK and scripts go by the exit code."""

import http.client
import sys
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from comet.errors import HealthError
from common.errors import CometError

TIMEOUT = 3.0  # seconds; a loop that does not turn answers never
SHOWN_ANSWER = 200  # characters of a refusal that are repeated
SERVICES = ("edge", "publisher")
EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class Verdict(NamedTuple):
    """What was found out about one service; `there` says whether anybody listens on its port."""

    good: bool
    there: bool
    sentence: str


def check(target: str | None, *, ready: bool) -> int:
    """Print one line that says how a service is; return the exit code."""
    try:
        verdict = health(target, ready=ready)
    except CometError as error:
        verdict = Verdict(False, False, str(error))
    print(verdict.sentence, file=sys.stdout if verdict.good else sys.stderr)
    return 0 if verdict.good else 1


def health(target: str | None, *, ready: bool) -> Verdict:
    """Ask `/healthz`, or `/readyz` if `ready`, of a service or URL; without a target of each service that is here.

    Raises `HealthError` if the target is neither, `SettingsError` if the settings that name the port are wrong.
    """
    page = "/readyz" if ready else "/healthz"
    if target is None:
        return together(ask(name, *internal_port(name), page) for name in SERVICES)
    if target in SERVICES:
        return ask(target, *internal_port(target), page)
    where = read_url(target)
    return ask("server", where.hostname or "", where.port or 80, where.path.rstrip("/") or page)


def internal_port(service: str) -> tuple[str, int]:
    """Return where the settings say that a service's internal port can be reached from this machine."""
    from common.settings import load_settings  # noqa: PLC0415  # half of the time that a health check takes

    settings = load_settings()
    host = EVERY_INTERFACE.get(settings.admin_host, settings.admin_host)
    return host, settings.edge_admin_port if service == "edge" else settings.publisher_admin_port


def read_url(target: str) -> SplitResult:
    """Read a target that is no service's name; raises `HealthError` if it is no URL that can be asked."""
    where = urlsplit(target)
    try:
        fits = where.scheme == "http" and bool(where.hostname) and where.port != 0
    except ValueError:  # not a port number
        fits = False
    if not fits:
        raise HealthError(f"{target!r} is not edge, publisher or a URL like http://127.0.0.1:9080")
    return where


def ask(name: str, host: str, port: int, page: str) -> Verdict:
    """Ask one page; only a 200 is good."""
    where = f"{name} on {host}:{port}"
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=TIMEOUT)) as connection:
            connection.request("GET", page)
            answer = connection.getresponse()
            text = answer.read(SHOWN_ANSWER).decode(errors="replace").strip()
    except ConnectionRefusedError:
        return Verdict(False, False, f"no {where}: nobody listens there")
    except (OSError, http.client.HTTPException) as error:
        return Verdict(False, True, f"{where} does not answer {page}: {error or type(error).__name__}")
    return Verdict(answer.status == 200, True, f"{where} answers {page} with {answer.status} {text}")


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """Join the verdicts of services that may run here: one at least must be there, and none of these be ill."""
    every = list(verdicts)
    present = [verdict for verdict in every if verdict.there]
    good = bool(present) and all(verdict.good for verdict in present)
    return Verdict(good, bool(present), "; ".join(verdict.sentence for verdict in present or every))
