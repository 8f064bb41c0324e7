"""A CA of tests, and who has certificates of it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import grpc

from controlplane.net.authority import Issued, issue, new_authority
from controlplane.net.tls import TlsFiles

HOUR = timedelta(hours=1)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """Writes certificates into a directory, each under a name."""

    def __init__(self, directory: Path, domain: str = "mesh.test") -> None:
        self.directory = directory
        self.domain = domain
        self.own = new_authority(domain, HOUR)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(self.own.certificate)

    def server(
        self,
        name: str = "server",
        lifetime: timedelta = HOUR,
        hosts: Sequence[str] = LOOPBACK,
        peer: bool = False,
    ) -> TlsFiles:
        """Files of a server, which asks clients for certificates. Written anew at each call.

        peer: the server shows its certificate to others, too.
        """
        made = issue(self.own, lifetime, hosts=hosts, server=True, client=peer)
        certificate, key = self._write(name, made)
        return TlsFiles(certificate=certificate, key=key, client_ca=self.ca)

    def client(self, path: str, *hosts: str, lifetime: timedelta = HOUR) -> Identity:
        """A client named spiffe://<domain>/<path>; without a path by its hosts alone."""
        uris = [f"spiffe://{self.domain}/{path}"] if path else []
        made = issue(self.own, lifetime, uris=uris, hosts=hosts)
        certificate, key = self._write((path or hosts[0]).replace("/", "-"), made)
        return Identity(path, made, certificate, key, self.ca, self.own.certificate)

    def context(self) -> ssl.SSLContext:
        """For a server that asks nobody for a certificate. `load` gives it another one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Have a running server of such a context show a new certificate of this CA."""
        files = self.server()
        context.load_cert_chain(files.certificate, files.key)

    def _write(self, name: str, made: Issued) -> tuple[Path, Path]:
        paths = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        for path, content in zip(reversed(paths), (made.key, made.certificate), strict=True):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            os.replace(new, path)
        return paths


class Identity:
    """What a client shows. `path`: of its SPIFFE URI."""

    def __init__(
        self, path: str, made: Issued, certificate: Path, key: Path, ca: Path, trusted: bytes
    ) -> None:
        self.path = path
        self.made = made
        self.certificate = certificate
        self.key = key
        self.ca = ca
        self._trusted = trusted

    def credentials(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(self._trusted, self.made.key, self.made.certificate)

    def context(self) -> ssl.SSLContext:
        """For a client of HTTP/2 frames."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["h2"])
        return context
