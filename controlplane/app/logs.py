"""Logs: one structured line an event, on standard error, also for what libraries say."""

from __future__ import annotations

import logging
import sys
from io import StringIO
from typing import Any, Literal, TextIO

import structlog

from controlplane.printable import printable

QUIET = ("uvicorn", "httpx", "httpcore", "watchfiles", "nacos", "do-sdk-process", "apscheduler")
"""Libraries whose informational lines are of no use to who runs a control plane."""

SILENT = ("uvicorn.error",)
"""Warns of every request that is none; the admin API counts them and tells of them together."""

VALUE_LENGTH = 4096
"""Characters of one text in a log line; what others say may be longer."""


def _short(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """No line fills the disk. JSON escapes by itself what is not printable."""
    return {
        key: f"{value[:VALUE_LENGTH]}… ({len(value)} characters)"
        if isinstance(value, str) and len(value) > VALUE_LENGTH
        else value
        for key, value in event.items()
    }


def _harmless(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """What others say can neither steer a terminal nor forge a line."""
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
