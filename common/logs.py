"""Logging: readable lines on a terminal, one JSON object per line elsewhere."""

import logging
import sys
from typing import Any, cast

from common.lean_import import lean_import

# structlog.dev loads rich and pygments where it finds them, for coloured tracebacks, which are not used: 3.5 MB.
with lean_import(sys.modules, {"rich": None}):
    import structlog

Logger = structlog.typing.FilteringBoundLogger


def configure_logging(service: str) -> None:
    """Set up logging to standard error for one service; call it once, at start."""
    to_terminal = sys.stderr.isatty()
    # Tracebacks without the values of local variables, which may be passwords and users' messages.
    for_terminal = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = for_terminal if to_terminal else structlog.processors.JSONRenderer()
    as_dict = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
    errors: list[Any] = [] if to_terminal else [as_dict]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    structlog.configure(
        processors=[*shared, *errors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    strip_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[strip_meta, *errors, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def get_logger(**context: object) -> Logger:
    """Return a logger that adds `context` to every line."""
    return cast(Logger, structlog.get_logger(**context))
