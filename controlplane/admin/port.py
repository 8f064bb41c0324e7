"""The admin API on a port, in the event loop that is running already."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from controlplane.admin.connection import Connection, Limits, Port
from controlplane.admin.encrypted import Encrypted
from controlplane.net.tls import Tls

SEND_BUFFER = 128 << 10  # bytes, which Linux doubles
GRACE = 3  # seconds that requests under way have at the end


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to this server."""
        yield


class AdminServer:
    """Serves `app` on `host`:`port`. Port 0 takes any free one; `port` says which after `start`."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        tls: Tls | None = None,
        limits: Limits | None = None,
        stopping: asyncio.Event | None = None,
    ) -> None:
        """`tls` is the certificate of the port, None for plain text. `stopping` is set by `stop`."""
        self._app = app
        self._tls = tls
        self._stopping = stopping or asyncio.Event()
        self._host = host.strip("[]")
        self.port = port
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.connections = Port(limits or Limits())

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{'http' if self._tls is None else 'https'}://{self.address}"

    @property
    def address(self) -> str:
        """host:port, as it was bound."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    async def start(self) -> None:
        """Bind and serve; returns when connections are accepted. Raises OSError if the port is in use."""
        listening = _bound(self._host, self.port)
        self.port = listening.getsockname()[1]
        # `Connection` parses with h11, whatever else is installed: its bounds are known. No forwarded headers
        # are believed: the limits per address go by who is connected.
        http: Any = functools.partial(_accepted, tls=self._tls, port=self.connections)
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=http,
            timeout_keep_alive=max(1, round(self.connections.limits.keep_alive)),
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([listening]), name="admin API")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise OSError(f"the admin API does not start on {self.address}")
            await asyncio.sleep(0.005)
        self._sweeping = asyncio.create_task(self._sweep(), name="times of the admin API's connections")

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.connections.interval)
            self.connections.sweep(loop.time())

    async def stop(self) -> None:
        """Accept no more connections, and wait up to GRACE seconds for requests under way."""
        self._stopping.set()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = self._task = None


def _accepted(*arguments: Any, tls: Tls | None, port: Port, **more: Any) -> asyncio.Protocol:
    """What reads a new connection."""
    connection = Connection(*arguments, port=port, **more)
    if tls is None:
        return connection
    return Encrypted(connection, tls.material.context, port.handshakes, port.broke_tls)


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: else the kernel keeps megabytes of each answer that nobody takes.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listening.bind(address)
        listening.listen(512)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{host}:{port}: {error.strerror}") from error
    return listening
