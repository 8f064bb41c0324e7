"""Logs: one structured line for each event, on standard error, libraries included."""

from __future__ import annotations

import logging
import sys
from io import StringIO
from typing import Any, Literal, TextIO

import structlog

from controlplane.printable import printable

QUIET = ("uvicorn", "httpx", "httpcore", "watchfiles", "nacos", "do-sdk-process", "apscheduler", "hpack")
"""Libraries whose informational lines do not help an operator of the control plane. At debug, `hpack` tells
each header of each call, credentials included.
"""

SILENT = ("uvicorn.error",)
"""Warns of every malformed request; the admin API counts these itself and logs a summary."""

VALUE_LENGTH = 4096
"""Longest text in a log line, in characters. Text from clients may be longer and is cut."""


def _short(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Cut long texts, so that no line fills the disk. The JSON renderer escapes what is not printable."""
    return {
        key: f"{value[:VALUE_LENGTH]}… ({len(value)} characters)"
        if isinstance(value, str) and len(value) > VALUE_LENGTH
        else value
        for key, value in event.items()
    }


def _harmless(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Escape texts, so that no client can control the terminal or forge a log line."""
    return {
        printable(key): printable(value) if isinstance(value, str) else value
        for key, value in _short(None, "", event).items()
    }


def _traceback(out: TextIO, exception: Any) -> None:
    text = StringIO()
    structlog.dev.plain_traceback(text, exception)
    out.write(printable(text.getvalue(), keep="\n"))


def configure(form: Literal["console", "json"], level: Literal["debug", "info", "warning", "error"]) -> None:
    """Set up structlog and the standard library's logging. `console` has colours on a terminal."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _short if form == "json" else _harmless,
    ]
    renderers: list[structlog.types.Processor]
    if form == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        renderers = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_traceback),
        ]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    for name in SILENT:
        logging.getLogger(name).setLevel(logging.ERROR)
