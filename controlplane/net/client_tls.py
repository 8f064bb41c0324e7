"""TLS of a client: what it trusts and what it shows itself, read again when the files change."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger("laneway.tls")


def _say(files: Sequence[str], reason: str) -> None:
    _log.error(
        "the TLS files for calls to others cannot be used; the former ones stay",
        files=list(files),
        reason=reason,
    )


class ClientTls:
    """ca: who signs the certificates of servers; None: those whom the system trusts. certificate, key: what
    is shown to them; without `key`, it is in the file of the certificate. say: is told once why changed files
    cannot be used.
    """

    def __init__(
        self,
        ca: Path | None,
        certificate: Path | None = None,
        key: Path | None = None,
        say: Callable[[Sequence[str], str], None] = _say,
    ) -> None:
        """Raises OSError where a file cannot be used; ssl.SSLError is one."""
        self._ca = ca
        self._pair = (certificate, key or certificate) if certificate is not None else None
        self._say = say
        system = ssl.get_default_verify_paths().cafile if ca is None else None
        watched = (ca, Path(system) if system else None, *(self._pair or ()))
        self._files = [path for path in watched if path is not None]
        self._seen = self._signature()
        self._context = self._read()
        self._said = ""

    def context(self) -> ssl.SSLContext:
        """By what the files hold now; the same object as long as they do not change. While they cannot be
        used, because a renewal writes them one after the other, it is the former one. Reads files: call it in
        a thread.
        """
        try:
            seen = self._signature()
            if seen != self._seen:
                self._context = self._read()
                self._seen, self._said = seen, ""
        except OSError as error:
            if str(error) != self._said:
                self._said = str(error)
                self._say([str(path) for path in self._files], self._said)
        return self._context

    def _signature(self) -> tuple[tuple[int, int, int], ...]:
        stats = [os.stat(path) for path in self._files]
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in stats)

    def _read(self) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=self._ca)
        if self._pair is not None:
            # Without a password it would be asked for on the terminal.
            made.load_cert_chain(*self._pair, password=lambda: "")
        return made
