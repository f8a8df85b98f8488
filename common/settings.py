"""Settings: read from the environment once, at start, and passed on."""

from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from common import settings_values as values
from common.errors import SettingsError
from common.settings_help import advice
from common.url import masked

PREFIX = "COMET_"
SECRET = frozenset({"admin_keys", "publish_keys", "token_key"})  # settings whose value is never shown

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Host = Annotated[str, AfterValidator(values.read_host)]


class Settings(BaseSettings):
    """Every setting of every service; each is the environment variable `COMET_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: Annotated[str, AfterValidator(values.read_redis_url)] = Field(
        "redis://127.0.0.1:6379", repr=False, description="Redis or Valkey: redis://, rediss:// or unix://"
    )
    prefix: Annotated[str, AfterValidator(values.read_prefix)] = Field(
        "comet:", description="what every name in Redis starts with"
    )
    history_size: int = Field(100, ge=0, le=100_000, description="messages kept per channel; 0 keeps none")
    history_ttl: int = Field(300, ge=1, le=2_592_000, description="seconds a channel's history is kept")
    adopt: bool = Field(True, description="give plain PUBLISH messages a position and history, too")
    audit: Seconds = Field(25, description="seconds of quiet after which a channel is compared with its log")
    max_message_bytes: int = Field(65536, ge=1, le=16_777_216, description="largest payload of a message, bytes")

    edge_host: Host = Field("::", description="address of the subscribers' port; `::` is all addresses, of IPv4, too")
    edge_port: Port = Field(8080, description="the subscribers' port")
    edge_admin_port: Port = Field(9080, description="the edge's internal port: health, readiness, metrics")
    publisher_host: Host = Field(
        "localhost", description="address of the publisher's port, which is for trusted networks only"
    )
    publisher_port: Port = Field(8081, description="the publisher's port")
    publisher_admin_port: Port = Field(9081, description="the publisher's internal port")
    admin_host: Host = Field("localhost", description="address of the internal ports")

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
    max_head_bytes: int = Field(16_384, ge=1024, le=65_536, description="bytes of a request head")
    max_url_bytes: Annotated[int, AfterValidator(values.check_url_bytes)] = Field(
        8192,
        ge=256,
        le=65_536,
        description="bytes of a URL, at most COMET_MAX_HEAD_BYTES; long positions of polls need more than 4096",
    )
    max_headers: int = Field(100, ge=8, le=1000, description="headers of a request")
    max_body_bytes: int = Field(16_384, ge=256, le=32_768, description="bytes of the body of POST /sub/SESSION")
    max_channels: int = Field(128, ge=1, le=128, description="channels of one connection")
    max_operations: int = Field(256, ge=1, le=256, description="operations of one WebSocket message or body")
    max_websocket_bytes: int = Field(16_384, ge=256, le=32_768, description="bytes of a WebSocket message")
    websocket_rate: int = Field(
        0, ge=0, description="messages and pings that a WebSocket may send in a second; 0: no limit"
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
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_proxies)] = Field(
        (),
        description="addresses and networks of the load balancers, separated by commas, whose word counts for where "
        "clients are",
    )
    proxy_protocol: Annotated[bool, AfterValidator(values.check_proxy_protocol)] = Field(
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
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_origins)] = Field(
        (),
        description="origins that browsers may subscribe from, separated by commas; empty allows all; publishers and "
        "internal ports take orders of foreign pages from these only",
    )
    hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_hosts)] = Field(
        (),
        description="names, separated by commas, under which edges may be asked (empty: any), and internal ports and "
        "publishers where no key is needed. Where they share it, the public names of the edges must be in it. "
        "Addresses, names without a dot and those of a cluster need no entry",
    )

    token_key: Annotated[str, AfterValidator(values.read_token_key)] = Field(
        "",
        repr=False,
        description="what subscribe tokens are checked with: a secret, `file:PATH`, or the `https://` address of a "
        "JWKS; empty: no channel needs a token",
    )
    token_audience: str = Field("", description="what a token's `aud` must be or contain; empty: anything")
    token_issuer: str = Field("", description="what a token's `iss` must be; empty: anything")
    token_leeway: float = Field(
        5, ge=0, le=60, description="seconds that the clocks of edges and of those who make tokens may differ"
    )
    token_expiry: bool = Field(True, description="a token must have an `exp`; 0: one without is good for ever")
    token_cookie: Annotated[str, AfterValidator(values.read_token_cookie)] = Field(
        "", description="name of the cookie that may hold a token; needs COMET_ALLOWED_ORIGINS"
    )
    public_channels: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_public_channels)] = Field(
        (),
        description="channels that need no token where COMET_TOKEN_KEY is set: names, and beginnings such as "
        "`news:*`, separated by commas",
    )
    private_channels: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_private_channels)] = Field(
        (),
        description="channels that each user may hear without a list in the token, separated by commas: templates "
        "such as `user:{sub}`",
    )

    publish_keys: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_keys)] = Field(
        (),
        repr=False,
        description="keys of those who publish: `NAME:KEY:CHANNELS`, `NAME:KEY` or `KEY`, separated by commas; "
        "CHANNELS are names or beginnings such as `order:*`, separated by blanks",
    )
    publish_rate: int = Field(
        0, ge=0, description="messages that one key may publish in a second on a publisher; 0: no limit"
    )
    admin_keys: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_admin)] = Field(
        (),
        repr=False,
        description="keys of operators: `NAME:KEY`, or `NAME:KEY:read` for one that changes nothing, separated by "
        "commas",
    )
    open_publisher: bool = Field(
        False, description="without COMET_PUBLISH_KEYS the publisher may listen on addresses other than loopback"
    )

    edge_url: Annotated[tuple[str, ...], NoDecode, BeforeValidator(values.read_edges)] = Field(
        ("http://127.0.0.1:8080",),
        description="where clients find the edges, separated by commas; `/` is the page's own origin",
    )
    publisher_url: Annotated[str, AfterValidator(values.read_publisher_url)] = Field(
        "http://127.0.0.1:8081", description="where backends and the command line find the publisher"
    )
    demo: bool = Field(
        False,
        description="serve the demo's pages `/` and `/chat`, and let whoever reaches `/demo/pub` publish to `demo` and "
        "`demo:…`; for trials",
    )


def load_settings(**overrides: object) -> Settings:
    """Read the settings from the environment; `overrides` (from the command line) win.

    Raises `SettingsError` with one line that names the variable, its value and what is allowed.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(fault) for fault in error.errors())) from None


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
    """Return how near two names are: one that is a part of the other is nearer than one that only resembles it.

    Of those that the slip is a part of all are as near, so that the first setting is meant: COMET_KEYS to publish.
    """
    if name in known:
        return True, 0.0
    return known in name, SequenceMatcher(None, name, known).ratio()


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
