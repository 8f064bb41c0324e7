"""Which certificates of Nacos servers are trusted: the CA file's, else those that the system trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

from controlplane.nacos.connection import NacosConnection


def trust(config: NacosConnection) -> ssl.SSLContext | None:
    """For HTTP; None without TLS. Raises OSError (ssl.SSLError is one) where the CA file cannot be used."""
    if not config.tls:
        return None
    return ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file is not None else None)


def roots(ca_file: Path | None) -> bytes | None:
    """For gRPC, which would take a list of its own in place of the system's. Raises OSError."""
    system = ssl.get_default_verify_paths().cafile
    file = ca_file or (Path(system) if system else None)
    return file.read_bytes() if file is not None else None
