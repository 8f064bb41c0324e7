"""Which certificates of Nacos servers are trusted: those that a CA of the CA file signed, else the
system's.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from controlplane.nacos.access import NacosConnection
from controlplane.nacos.errors import TlsFailed
from controlplane.net.client_tls import ClientTls


def context(connection: NacosConnection) -> ssl.SSLContext | None:
    """What HTTP clients and probes check servers against; None without TLS. Raises TlsFailed."""
    return Followed(connection).context()


class Followed:
    """The same again and again, by what the CA file holds at each time."""

    def __init__(self, connection: NacosConnection) -> None:
        self._connection = connection
        self._tls: ClientTls | None = None

    def context(self) -> ssl.SSLContext | None:
        """As the function of that name; the same object as long as the file does not change."""
        if not self._connection.tls:
            return None
        try:
            if self._tls is None:
                self._tls = ClientTls(self._connection.ca_file)
            return self._tls.context()
        except OSError as error:  # ssl.SSLError is one
            raise _unusable(self._connection.ca_file, error) from error


def roots(ca_file: Path | None) -> bytes | None:
    """The same as PEM text for gRPC, which has a list of its own and not the system's. Raises TlsFailed."""
    system = ssl.get_default_verify_paths().cafile
    file = ca_file or (Path(system) if system else None)
    try:
        return file.read_bytes() if file is not None else None
    except OSError as error:
        raise _unusable(file, error) from error


def failed(error: ssl.SSLError, address: str) -> TlsFailed:
    """The error for a TLS handshake with `address` that did not succeed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsFailed(f"its certificate is not trusted ({error.verify_message})", address)
    remedy = "check that this port speaks TLS, else unset NACOS_TLS"
    return TlsFailed(f"TLS does not work ({system_text(error)})", address, remedy)


def system_text(error: OSError) -> str:
    """`Connection refused`: the system's words, without the address that asyncio puts before them."""
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)  # of a name that cannot be resolved


def _unusable(ca_file: Path | None, error: OSError) -> TlsFailed:
    remedy = "set NACOS_CA_FILE to a PEM file that this user can read"
    return TlsFailed(f"the CA file {ca_file} cannot be used: {system_text(error)}", "", remedy)
