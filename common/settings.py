"""Settings: read from the environment once, at start, and passed on."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common.errors import SettingsError
from common.redis.url import check_redis_url
from common.settings_help import advice
from common.url import BLANK, WILDCARD, as_browsers_write, check_port, culprit, masked, parse_network, split_url

PREFIX = "COMET_"
SECRET = frozenset({"publish_keys"})  # settings whose value is never shown
MIN_KEY_CHARACTERS = 16
_PREFIX = re.compile(r"[^\s{}!*]{1,64}")
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z0-9\-._~+/=]+")  # what a bearer token may contain (RFC 6750 section 2.1)

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class Settings(BaseSettings):
    """Every setting of every service; each is the environment variable `COMET_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: str = Field(
        "redis://127.0.0.1:6379", repr=False, description="Redis or Valkey: redis://, rediss:// or unix://"
    )
    prefix: str = Field("comet:", description="what every name in Redis starts with")
    history_size: int = Field(100, ge=0, le=100_000, description="messages kept per channel; 0 keeps none")
    history_ttl: int = Field(300, ge=1, le=2_592_000, description="seconds a channel's history is kept")
    adopt: bool = Field(True, description="give plain PUBLISH messages a position and history, too")
    audit: Seconds = Field(25, description="seconds of quiet after which a channel is compared with its log")
    max_message_bytes: int = Field(65536, ge=1, le=16_777_216, description="largest payload of a message, bytes")

    edge_host: str = Field("::", description="address of the subscribers' port; `::` is all addresses, of IPv4, too")
    edge_port: Port = Field(8080, description="the subscribers' port")
    edge_admin_port: Port = Field(9080, description="the edge's internal port: health, readiness, metrics")
    publisher_host: str = Field(
        "localhost", description="address of the publisher's port, which is for trusted networks only"
    )
    publisher_port: Port = Field(8081, description="the publisher's port")
    publisher_admin_port: Port = Field(9081, description="the publisher's internal port")
    admin_host: str = Field("localhost", description="address of the internal ports")

    heartbeat: Seconds = Field(
        25, description="seconds without a message after which a held connection gets a heartbeat"
    )
    poll_timeout: Seconds = Field(25, description="seconds a long-poll waits for a message")
    header_timeout: Seconds = Field(10, description="seconds a client has to send a complete request")
    input_bytes: int = Field(
        4_194_304,
        ge=65_536,
        description="bytes kept of requests and frames that are not complete, of all connections of an edge together",
    )
    linger: float = Field(
        30, ge=0, le=3600, description="seconds a channel stays subscribed after its last subscriber left"
    )
    max_lingering: int = Field(
        0,
        ge=0,
        description="channels that never carried a message and stay subscribed that long; 0: 20,000, or the limit of "
        "connections if that is more",
    )
    max_connections: int = Field(
        0, ge=0, description="connections one edge holds; 0: what the hard limit of open files allows"
    )
    session_asks: int = Field(
        50,
        ge=1,
        le=10_000,
        description="questions to all edges, which of them holds the poll of a session, that one edge has under way; a "
        "change of channels beyond that gets 429",
    )
    names_bytes: int = Field(
        16_777_216,
        ge=65_536,
        description="bytes of channels' names that Redis keeps for the long positions of one edge's clients; those of "
        "connections that have ended make room, then a subscription or change that needs more gets 429",
    )
    max_connection_age: float = Field(
        0,
        ge=0,
        le=2_592_000,
        description="seconds, plus or minus a fifth, after which a connection is closed; 0: never",
    )
    drain_seconds: float = Field(
        30, ge=0, le=3600, description="seconds over which SIGTERM closes the connections; 0: it stops at once"
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="addresses and networks of the load balancers, separated by commas, whose word counts for where "
        "clients are",
    )
    proxy_protocol: bool = Field(
        False, description="connections of COMET_TRUSTED_PROXIES begin with a PROXY line (version 1 or 2)"
    )
    max_connections_per_address: int = Field(
        0, ge=0, description="connections that one client's address may have on an edge; 0: no limit"
    )
    new_channels_per_minute: int = Field(
        0, ge=0, description="channels new to the edge that one address may subscribe to in a minute; 0: no limit"
    )
    subscriptions_per_second: int = Field(
        0, ge=0, description="subscriptions, one for each channel and poll, of one address in a second; 0: no limit"
    )
    history_bytes_per_second: int = Field(
        0, ge=0, description="bytes of missed messages that one address is sent in a second; 0: no limit"
    )
    slow_bytes: int = Field(
        262_144,
        ge=1024,
        description="bytes that wait for one reader, behind the write that is under way, before the policy applies",
    )
    slow_seconds: Seconds = Field(
        10,
        description="seconds a reader may take less than COMET_SLOW_RATE, or have more than COMET_SLOW_BYTES waiting, "
        "before it is disconnected",
    )
    slow_rate: int = Field(
        1024,
        ge=1,
        le=1_048_576,
        description="bytes a second that a reader who is behind has to take, over COMET_SLOW_SECONDS",
    )
    slow_total_bytes: int = Field(
        67_108_864,
        ge=65_536,
        description="bytes parked for all slow readers of an edge; those that several readers wait for count once",
    )
    slow_policy: Literal["disconnect", "latest"] = Field(
        "disconnect",
        description="what a reader over COMET_SLOW_BYTES gets: its connection closed, or only the newest message",
    )
    flush_ms: float = Field(0, ge=0, le=1000, description="milliseconds messages are collected before they are sent")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins that browsers may subscribe from, separated by commas; empty allows all"
    )

    publish_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (), repr=False, description="keys, separated by commas; publishing and `/admin` need one of them"
    )

    edge_url: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://127.0.0.1:8080",),
        description="where clients find the edges, separated by commas; `/` is the page's own origin",
    )
    publisher_url: str = Field(
        "http://127.0.0.1:8081", description="where backends and the command line find the publisher"
    )

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        check_redis_url(value)
        return value

    @field_validator("edge_host", "publisher_host", "admin_host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not value.strip():  # an empty one would listen on all addresses
            raise ValueError("give an address of this machine; :: stands for all of them")
        return value.strip()

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value) or not value.isprintable():
            raise ValueError("give 1 to 64 printable characters, none of them white space or one of { } ! *")
        return value

    @field_validator("edge_url", mode="before")
    @classmethod
    def _split_edges(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        urls = tuple(_edge_url(part.strip(), value) for part in value.split(",") if part.strip())
        if not urls:
            raise ValueError("give at least one address such as http://127.0.0.1:8080")
        return urls

    @field_validator("publisher_url")
    @classmethod
    def _check_publisher_url(cls, value: str) -> str:
        if not _is_address(value):
            raise ValueError("must be an address such as http://127.0.0.1:8081")
        check_port(value)
        return _as_browsers_write_url(value)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        for part in parts:
            parse_network(part)
        return parts

    @field_validator("proxy_protocol")
    @classmethod
    def _check_proxy_protocol(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("trusted_proxies"):
            raise ValueError("only the proxies of COMET_TRUSTED_PROXIES are believed; set that, too")
        return value

    @field_validator("publish_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(part.strip() for part in value.split(",") if part.strip())
        if any(len(key) < MIN_KEY_CHARACTERS or not _KEY.fullmatch(key) for key in keys):
            raise ValueError(f"each key needs at least {MIN_KEY_CHARACTERS} characters of A-Z a-z 0-9 - . _ ~ + / =")
        if value and not keys:
            raise ValueError("it contains no key; leave it empty to let every client publish")
        return keys

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip().rstrip("/") for part in value.split(",") if part.strip()]
        if parts == ["*"]:
            return ()
        if value and not parts:
            raise ValueError("it contains no origin; leave it empty, or give *, to allow all")
        return tuple(dict.fromkeys(_origin(part, value) for part in parts))


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; `overrides` (from the command line) win.

    Raises `SettingsError` with one line that names the variable, its value and what is allowed.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(fault) for fault in error.errors())) from None


def _origin(text: str, whole: str) -> str:
    """Return an origin as browsers send it."""
    wrong = culprit(text, whole)
    if text == "*":
        raise ValueError("* allows every origin, so it stands alone; leave it out, or leave out the others")
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"an origin looks like https://example.com or http://localhost:8000, not {wrong}")
    try:
        return as_browsers_write(text)
    except ValueError as error:
        raise ValueError(f"{wrong} matches no page: {error}") from None


def _edge_url(text: str, whole: str) -> str:
    """Return the address of an edge without a slash at its end; `/` alone is the page's own origin."""
    if text == "/":
        return text
    if not _is_address(text):
        wrong = culprit(text, whole)
        raise ValueError(f"{wrong} must be / or an address such as https://push.example or http://127.0.0.1:8080")
    check_port(text)
    return _as_browsers_write_url(text)


def _as_browsers_write_url(text: str) -> str:
    """Return an address whose host is written as in a page's policy and in the requests for it."""
    parts = split_url(text)
    if WILDCARD in parts.netloc:
        raise ValueError("an address names one host, without a star")
    return as_browsers_write(f"{parts.scheme}://{parts.netloc}") + parts.path.rstrip("/")


def _is_address(text: str) -> bool:
    """Say whether a browser can use an address, leaving its port aside; it refuses one with a password in it."""
    if BLANK.search(text):
        return False
    parts = split_url(text)
    extra = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not extra


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a warning for each `COMET_*` variable that no setting has, with the nearest known name."""
    known = [name.upper() for name in Settings.model_fields]
    warnings = []
    for variable in sorted(environment):
        name = variable.removeprefix(PREFIX)  # compared without the part that all have in common
        if variable.startswith(PREFIX) and name not in known:
            near = max(known, key=lambda each: _nearness(name, each))
            warnings.append(f"{variable} is not a setting of this version; did you mean {PREFIX}{near}?")
    return warnings


def _nearness(name: str, known: str) -> tuple[bool, float]:
    """Return how near two names are: one that is a part of the other is nearer than one that only resembles it."""
    return name in known or known in name, SequenceMatcher(None, name, known).ratio()


def _sentence(fault: ErrorDetails) -> str:
    """Turn one pydantic fault into a line that names the variable, its value and what is allowed."""
    name = str(fault["loc"][0])
    if fault["type"] == "value_error":  # the checks above give a whole sentence
        text = fault["msg"].removeprefix("Value error, ")
    else:
        text = advice(name, Settings.model_fields[name])
    return f"{PREFIX}{name.upper()}={_shown(name, fault['input'])}: {text}"


def _shown(name: str, value: object) -> str:
    """Return a value as an error may show it: without its secrets."""
    if name in SECRET:
        return "(not shown)"
    return repr(masked(value) if isinstance(value, str) else value)
