"""A way to a Nacos server that tests can watch, break, or lead through TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.nacos_server import free_port
from tests.relaying import relay

PROTOCOLS = {0: "http/1.1", 1000: "h2"}
"""What is spoken at each port, by its offset."""

Hook = Callable[[int, bool, bytes], bool]
"""Called with the number of a connection, whether the server speaks, and what is said; False cuts the
connection before that is passed on.
"""


def everything(connection: int, answer: bool, data: bytes) -> bool:
    """The Hook that cuts nothing."""
    return True


class NacosRelay:
    """Takes connections on both ports and passes them on to those of the server at `address`.

    They are TLS if there is a `pem`, a file with key and certificate. `connections` counts those that were
    taken, by the offset of the port: 0 is HTTP, 1000 gRPC. May be entered again, on the same ports.
    """

    def __init__(self, address: str, pem: Path | None = None, passes: Hook = everything) -> None:
        host, _, port = address.partition(":")
        self._to = host, int(port)
        self._pem = pem
        self._passes = passes
        self._port = free_port()
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.address = f"127.0.0.1:{self._port}"
        self.connections = dict.fromkeys(PROTOCOLS, 0)

    async def __aenter__(self) -> NacosRelay:
        for offset in PROTOCOLS:
            serve = partial(self._begin, offset)
            tls = self._tls(offset)
            end = 1.0 if tls else None  # seconds: not every client answers the end of TLS
            self._servers.append(
                await asyncio.start_server(
                    serve, "127.0.0.1", self._port + offset, ssl=tls, ssl_shutdown_timeout=end
                )
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()
        # What the loop accepted in this turn comes to `_begin` in the next ones, and is closed in one more.
        for _ in range(4):
            await asyncio.sleep(0)

    async def ended(self) -> None:
        """Return when every connection that was taken has ended, on both sides."""
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    def _tls(self, offset: int) -> ssl.SSLContext | None:
        if self._pem is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._pem)
        context.set_alpn_protocols([PROTOCOLS[offset]])
        return context

    def _begin(self, offset: int, down: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        if not self._servers:  # taken while the relay ended
            back.transport.abort()
            return
        self.connections[offset] += 1
        number = sum(self.connections.values())
        self._writers.add(back)
        self._tasks.add(asyncio.create_task(self._serve(number, offset, down, back)))

    async def _serve(
        self, number: int, offset: int, down: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        async def passes(answer: bool, data: bytes) -> bool:
            return self._passes(number, answer, data)

        await relay(down, back, (self._to[0], self._to[1] + offset), self._writers, passes)
