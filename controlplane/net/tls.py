"""TLS of a port: its certificate, which may be renewed while it serves, and TLS of a connection without I/O.

A connection is counted, and takes its turn, from its first byte on: a handshake costs more than most
requests. So the listener does not use asyncio's TLS, which tells of a connection when its handshake is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from . import certificates
from .certificates import Certificate

_log = structlog.get_logger("laneway.rpc")
_LOOK = 1.0
"""Seconds between two looks at the files. Polling sees what is mounted and linked, too."""
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2. RFC 9113, appendix A, forbids all without forward secrecy and authenticated encryption."""
_RECORD = 16 << 10  # most bytes of a record


class TlsError(ValueError):
    """The files cannot be used; the text says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Files in PEM form. certificate: with the chain up to the CA. client_ca: who signs certificates of
    clients; None: clients need none.

    protocols: for ALPN. insist: whether the handshake of a client without a certificate fails; otherwise
    whoever serves the connection has to look for it.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    protocols: tuple[str, ...] = ("h2",)
    insist: bool = True


@dataclass(frozen=True, slots=True)
class Material:
    """What the files held when they were read last."""

    context: ssl.SSLContext
    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires: float
    """When the certificate ends to be valid, in epoch seconds."""


class Tls:
    """The certificate of a port. Raises TlsError where the files cannot be used."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        #: How often the files were read since the start, by result: reloaded, failed.
        self.reloads: Counter[str] = Counter()
        self._said = ""
        self._seen = _signature(files)
        self.material = _read(files)

    async def follow(self) -> None:
        """Look at the files again and again. Open connections keep what they were made with."""
        while True:
            await asyncio.sleep(_LOOK)
            await asyncio.to_thread(self.refresh)

    def refresh(self, *, force: bool = False) -> bool:
        """Take over what has changed. While the files cannot be used, for a renewal writes them one after the
        other, the former certificate stays in force. Returns whether it was replaced. force: also unchanged
        files.
        """
        try:
            seen = _signature(self.files)
            if seen == self._seen and not force:
                return False
            material = _read(self.files)
            if _signature(self.files) != seen:
                return False  # it is being written: the next look has it whole
        except TlsError as error:
            if str(error) != self._said:
                self._said = str(error)
                self.reloads["failed"] += 1
                _log.error("the TLS files cannot be used; the former certificate stays", reason=self._said)
            return False
        self._seen, self._said = seen, ""
        self.material = material
        self.reloads["reloaded"] += 1
        _log.info("the TLS files were reloaded", certificate=str(self.files.certificate))
        return True


def _signature(files: TlsFiles) -> tuple[object, ...]:
    """What changes when a file is replaced. Raises TlsError."""
    found: list[object] = []
    for path in (files.certificate, files.key, files.client_ca):
        if path is not None:
            try:
                stat = os.stat(path)
            except OSError as error:
                raise TlsError(f"cannot read {path}: {error.strerror}") from None
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _read(files: TlsFiles) -> Material:
    """Raises TlsError."""
    certificate, key = _bytes(files.certificate), _bytes(files.key)
    client_ca = _bytes(files.client_ca) if files.client_ca is not None else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(list(files.protocols))
    # A client that resumes a session would show no certificate. RFC 9113 forbids renegotiation.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        # Without a password it would be asked for on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise TlsError(f"{files.certificate} and {files.key} are no pair: {_why(error)}") from None
    if client_ca is not None:
        try:
            context.load_verify_locations(cadata=client_ca.decode("ascii", "replace"))
        except (OSError, ValueError) as error:
            raise TlsError(f"{files.client_ca} has no certificates (PEM): {_why(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED if files.insist else ssl.CERT_OPTIONAL
    return Material(context, certificate, key, client_ca, _expiry(certificate))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {path}: {error.strerror}") from None


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error).lower().replace("_", " ")


def _expiry(certificate: bytes) -> float:
    from cryptography import x509

    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


class TlsFault(Exception):
    """The connection cannot go on; the text says what the client did."""


class Channel:
    """TLS on the server's side of one connection. `ready` when the handshake is over, `over` when the client
    has said goodbye; `certificate` is the client's.
    """

    __slots__ = ("_arrived", "_leaving", "_tls", "certificate", "over", "ready")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        self.ready = False
        self.over = False
        self.certificate: Certificate | None = None

    def receive(self, data: bytes) -> bytes:
        """What the client says. Raises TlsFault; what is to be sent is in `leaving`, also then."""
        self._arrived.write(data)
        said: list[bytes] = []
        try:
            if not self.ready:
                self._tls.do_handshake()
                self.ready = True
                self.certificate = certificates.of_handshake(self._tls.getpeercert())
            while part := self._tls.read(_RECORD):
                said.append(part)
            self.over = True
        except ssl.SSLWantReadError:
            if not self.ready:
                return b""
        except ssl.SSLError as error:
            raise TlsFault(_why(error)) from None
        return said[0] if len(said) == 1 else b"".join(said)

    def send(self, parts: Sequence[bytes]) -> bytes:
        """The parts as they go over the line: together, so that small frames have no record of their own."""
        rest = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        while rest:
            rest = rest[self._tls.write(rest) :]
        return self._leaving.read()

    def leaving(self) -> bytes:
        """What the protocol itself has to say."""
        return self._leaving.read()

    def close(self) -> bytes:
        """The goodbye."""
        if self.ready:
            with contextlib.suppress(ssl.SSLError):  # the client's goodbye is not waited for
                self._tls.unwrap()
        return self._leaving.read()
