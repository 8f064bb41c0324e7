"""Where the entries of the audit go: a file of JSON lines, or syslog."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
from pathlib import Path

import structlog

from controlplane.admin.audit import Nowhere, Sink

log = structlog.get_logger("laneway")

SYSLOG = "/dev/log"
MESSAGE = 8000
"""Most bytes of a message: rsyslog cuts longer ones by default."""


def sink_of(setting: str | None) -> Sink:
    """The sink of the setting `audit`. Raises OSError and ValueError."""
    if setting is None:
        return Nowhere()
    kind, _, where = setting.partition(":")
    return Syslog(where) if kind == "syslog" else File(Path(setting))


class File:
    """JSON lines, appended. Rename the file and call `reopen` to begin a new one."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._descriptor = self._open()
        self._failing = False

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def reopen(self) -> None:
        """Open the file at its path anew; the former one goes on if that fails."""
        try:
            new = self._open()
        except OSError as error:
            log.error("the audit file cannot be opened; the former one goes on", reason=str(error))
            return
        os.close(self._descriptor)
        self._descriptor = new
        log.info("the audit file was opened anew", file=str(self._path))

    def write(self, line: str) -> None:
        """See Sink. One write a line, so that lines of several processes do not mix."""
        data = line.encode() + b"\n"
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                raise OSError(f"only {written} of {len(data)} bytes were written")
        except OSError as error:
            if not self._failing:
                log.error("the audit file cannot be written; changes go on", reason=str(error))
            self._failing = True
            raise
        self._failing = False


class Syslog:
    """Messages of facility authpriv, RFC 3164 over a local socket or UDP. What is too long loses its diff."""

    def __init__(self, where: str = "") -> None:
        """where: the path of a socket, or host:port; empty for /dev/log. Raises OSError and ValueError."""
        host, colon, port = where.rpartition(":")
        if colon and not port.isdecimal():
            raise ValueError(f"syslog:{where} is not syslog, syslog:/path or syslog:host:port")
        address = (host.strip("[]"), int(port)) if colon else where or SYSLOG
        self._handler = logging.handlers.SysLogHandler(address, logging.handlers.SysLogHandler.LOG_AUTHPRIV)
        self._handler.ident = "laneway: "
        self._handler.append_nul = False
        self._handler.handleError = self._failed  # type: ignore[method-assign]

    def _failed(self, record: logging.LogRecord) -> None:
        raise OSError("syslog takes no message")

    def write(self, line: str) -> None:
        """See Sink."""
        if len(line) > MESSAGE:
            entry = json.loads(line)
            entry["diff"], entry["cut"] = "", True
            entry["what"] = entry.get("what", [])[:50]
            line = json.dumps(entry, separators=(",", ":"))[:MESSAGE]
        self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, (), None))

    def reopen(self) -> None:
        """Nothing to do: each message finds its way."""
