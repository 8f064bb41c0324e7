"""TLS before a Nacos server that has none: a relay for both ports, and certificates that tests make."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.nacos_server import free_port


def certificate(directory: Path, name: str, address: str = "127.0.0.1") -> Path:
    """A file with a key and a certificate for `address` that it signed itself, so that it is its own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{name}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class TlsRelay:
    """Takes TLS connections on both ports and passes them on to those of the server at `address`.

    `connections` counts those that were taken, by the offset of the port: 0 is HTTP, 1000 gRPC.
    """

    def __init__(self, address: str, pem: Path) -> None:
        host, _, port = address.partition(":")
        self._to = host, int(port)
        self._pem = pem
        self._port = free_port()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = f"127.0.0.1:{self._port}"
        self.connections = {0: 0, 1000: 0}

    async def __aenter__(self) -> TlsRelay:
        for offset, protocol in ((0, "http/1.1"), (1000, "h2")):
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self._pem)
            context.set_alpn_protocols([protocol])
            serve = partial(self._begin, offset)
            server = await asyncio.start_server(serve, "127.0.0.1", self._port + offset, ssl=context)
            self._servers.append(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, offset: int, down: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections[offset] += 1
        self._tasks.add(asyncio.create_task(self._serve(offset, down, back)))

    async def _serve(self, offset: int, down: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        up, forth = await asyncio.open_connection(self._to[0], self._to[1] + offset)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    target.write(data)
                    await target.drain()

        ways = [asyncio.create_task(copy(down, forth)), asyncio.create_task(copy(up, back))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (back, forth):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
