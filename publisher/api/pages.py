"""The pages that the publisher serves to browsers, and their files. Nothing in them comes from another server.

A page finds the edges by `/demo/config.json`. The content security policy of each page names the edges, and a browser
connects to no other server.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from common.errors import RequestError
from common.service.http import json_answer
from publisher.api import demo

STATIC = Path(__file__).parents[1] / "static"
PAGES = demo.PAGES | {"/admin": "admin.html"}
WITHOUT_EDGES = frozenset({"/admin"})  # pages that connect to the publisher only
DEMO_IS_OFF = "the demo is off here; a publisher with COMET_DEMO=1 serves it"
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
}
DEFAULT_CONTENT_TYPE = "text/plain"
OWN_ORIGIN = "/"  # as the URL of the edges: the load balancer serves page and edges under one name
LOOPBACK = "127.0.0.1"
HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "strict-origin"}
_HOST = re.compile(r"([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")


class File(NamedTuple):
    """One file as it is served."""

    body: bytes
    content_type: str
    etag: str


class PagesApi:
    """The handlers of the pages; browsers find the edges at `edge_urls`, backends publish at `publisher_url`.

    The second is shown only where a load balancer serves the pages: it lets no request to `/pub` through. Without
    `has_demo` the demo's pages and all that is below `/demo/` are answered with 404.
    """

    def __init__(self, edge_urls: Sequence[str], publisher_url: str, *, has_demo: bool) -> None:
        self._has_demo = has_demo
        self._edge_urls = edge_urls
        self._publisher_url = publisher_url if OWN_ORIGIN in edge_urls else ""
        self._files = {path.name: _read(path) for path in STATIC.iterdir() if path.is_file()}

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes of the pages, their files and their configuration."""
        router.add_get("/admin", self._page)
        router.add_get("/static/{name}", self._static)
        if self._has_demo:
            for path in demo.PAGES:
                router.add_get(path, self._page)
            router.add_get(f"{demo.FOLDER}/config.json", self._config)
        else:
            for path in (*demo.PAGES, demo.FOLDER, f"{demo.FOLDER}/{{rest:.*}}"):
                router.add_route("*", path, _refuse)

    async def _page(self, request: web.Request) -> web.Response:
        edge_urls = () if request.path in WITHOUT_EDGES else self._edge_urls
        policy = content_security_policy(edge_urls, request.host)
        return _answer(request, self._files[PAGES[request.path]], HEADERS | {"Content-Security-Policy": policy})

    async def _static(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _answer(request, file, HEADERS)

    async def _config(self, request: web.Request) -> web.Response:
        edges = browser_edges(self._edge_urls, request.host)
        return json_answer({"edges": edges, "publisher": self._publisher_url}, headers=HEADERS)


async def _refuse(request: web.Request) -> web.StreamResponse:
    """Answer what only the demo has."""
    raise RequestError(DEMO_IS_OFF, 404)


def browser_edges(edge_urls: Sequence[str], host: str) -> list[str]:
    """Return the URLs by which a page finds the edges; `host` is the Host header that the page was asked with.

    An edge on 127.0.0.1 is on the machine that serves the page, so it gets the host name of the page.
    """
    name = _hostname(host)
    return [url if url == OWN_ORIGIN else _renamed(url, name) for url in edge_urls]


def content_security_policy(edge_urls: Sequence[str], host: str) -> str:
    """Return the policy of a page: our own files and the edges, no inline script, no frame around the page.

    Edges are sources of scripts, too, for JSONP. WebSockets have schemes of their own: `'self'` covers them by CSP 3,
    section 6.7.2.8, but not in every browser.
    """
    edges = [url for url in browser_edges(edge_urls, host) if url != OWN_ORIGIN]
    origins = [f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in edges]
    sockets = ["ws" + origin.removeprefix("http") for origin in origins]
    if OWN_ORIGIN in edge_urls and _HOST.fullmatch(host):
        sockets += [f"ws://{host}", f"wss://{host}"]
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *origins)),
            "style-src 'self'",
            "img-src 'self' data:",
            " ".join(("connect-src 'self'", *origins, *sockets)),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _read(path: Path) -> File:
    body = path.read_bytes()
    return File(body, CONTENT_TYPES.get(path.suffix, DEFAULT_CONTENT_TYPE), hashlib.sha256(body).hexdigest()[:16])


def _answer(request: web.Request, file: File, headers: dict[str, str]) -> web.Response:
    """Answer with a file, or with 304 if the browser has it already (RFC 9110 section 13.1.2)."""
    if any(tag.value in {file.etag, "*"} for tag in request.if_none_match or ()):
        answer = web.Response(status=304, headers=headers)
    else:
        answer = web.Response(body=file.body, headers=headers, content_type=file.content_type, charset="utf-8")
    answer.etag = file.etag
    return answer


def _hostname(host: str) -> str:
    """Return the name in a Host header, without its port; the loopback address if the header is malformed."""
    match = _HOST.fullmatch(host)
    return match[1] if match else LOOPBACK


def _renamed(url: str, name: str) -> str:
    parts = urlsplit(url)
    if parts.hostname != LOOPBACK:
        return url
    return parts._replace(netloc=parts.netloc.replace(LOOPBACK, name, 1)).geturl()
