"""The port on which calls arrive: sockets, timers, and the connections' ends."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import cast

import grpc
import structlog

from . import frames
from .calls import Call, Room
from .frames import ConnectionFault
from .headers import RequestHead
from .http2 import Http2Connection
from .stream import Receiver, Stream
from .transport import Limits, Methods

_log = structlog.get_logger("laneway.rpc")
_BACKLOG = 4096
_SWEEPS = 6  # in a keepalive time
_REQUESTS_AT_ONCE = 8  # of the largest size, in parts, over all connections


class Listener:
    """Serves `methods` on one port, within `limits`. It is a Transport."""

    def __init__(self, methods: Methods, limits: Limits) -> None:
        self.methods = methods
        self.limits = limits
        self.connections: set[_Connection] = set()
        self.empty = asyncio.Event()
        self.room = Room(_REQUESTS_AT_ONCE * limits.largest_request)
        self.stopping = False
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, address: str) -> int:
        """Listen on host:port, port 0 for one that the system gives. Returns the port. Raises OSError."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # A name may have addresses of both families; asyncio's own binding would need a port for each.
        listening = socket.create_server(
            (host, int(port)), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::"
        )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, loop), sock=listening, backlog=_BACKLOG
        )
        self._sweep()
        return listening.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Accept nothing more, ask the clients to leave, and cut those off that are there after `grace`."""
        if self._server is None:
            return
        self._server.close()
        self.stopping = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        for connection in self.connections:
            connection.http2.go_away()
        if self.connections:
            self.empty.clear()
            try:
                await asyncio.wait_for(self.empty.wait(), grace)
            except TimeoutError:
                for connection in tuple(self.connections):
                    connection.cut("the server stops")
                await asyncio.sleep(0)
                for connection in tuple(self.connections):
                    connection.transport.abort()
        await self._server.wait_closed()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self.limits.keepalive / _SWEEPS, self._sweep)
        now = loop.time()
        for connection in tuple(self.connections):
            connection.check(now)


class _Connection(asyncio.Protocol):
    """One accepted socket."""

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._heard = loop.time()
        self._pinged: float | None = None
        self._left = 0
        self._over = False
        self._timer: asyncio.TimerHandle | None = None
        self._peer = ""
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.http2 = Http2Connection(self._write, self._accept)

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._listener.stopping:
            self.transport.abort()  # it was accepted just before
            return
        name = transport.get_extra_info("peername") or ("", 0)
        self._peer = f"ipv6:[{name[0]}]:{name[1]}" if ":" in name[0] else f"ipv4:{name[0]}:{name[1]}"
        self._listener.connections.add(self)
        age = self._listener.limits.max_connection_age
        if age:
            self._timer = self._loop.call_later(age * random.uniform(0.9, 1.1), self._age)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._heard = self._loop.time()
        self._pinged = None
        try:
            self.http2.receive(data)
        except ConnectionFault as fault:
            _log.info("a client broke HTTP/2", peer=self._peer, text=fault.text)
            self.http2.farewell(fault.code, fault.text)
            self._close()
            return
        if self.http2.departed:
            self._close()

    def pause_writing(self) -> None:
        self.http2.clog()
        # Every request and ping makes an answer: who reads none is not asked for more of them.
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()
        self.http2.unclog()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self.http2.lost()
        self._listener.connections.discard(self)
        if not self._listener.connections:
            self._listener.empty.set()

    # The listener's side.

    def check(self, now: float) -> None:
        """Ask a client that is silent for a sign of life; give up one that gave none."""
        self.http2.forget_glitches()
        left, self._left = self._left, self.transport.get_write_buffer_size()
        if self._left < left:
            # It takes what is sent, and what it says is not read in the meantime.
            self._heard, self._pinged = now, None
        if self._pinged is not None:
            if now - self._pinged > self._listener.limits.keepalive / 3:
                _log.info("a client is silent", peer=self._peer, seconds=round(now - self._heard, 1))
                self.transport.abort()
        elif now - self._heard > self._listener.limits.keepalive:
            self._pinged = now
            self.http2.ping()

    def cut(self, text: str) -> None:
        """End all calls and close."""
        for stream in tuple(self.http2.streams.values()):
            cast("Call", stream.receiver).finish(grpc.StatusCode.UNAVAILABLE, text)
        self.http2.farewell(frames.NO_ERROR, text)
        self._close()

    def _age(self) -> None:
        self.http2.go_away()
        self._timer = self._loop.call_later(self._listener.limits.max_connection_age_grace, self._expire)

    def _expire(self) -> None:
        self.cut("the connection has reached its age")

    def _close(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self.transport.close()
        # Who reads nothing does not keep what is left to send for ever.
        self._timer = self._loop.call_later(
            self._listener.limits.max_connection_age_grace, self.transport.abort
        )

    # The connection's side.

    def _write(self, parts: list[bytes]) -> None:
        if len(parts) == 1:
            self.transport.write(parts[0])
        else:
            self.transport.writelines(parts)

    def _accept(self, stream: Stream, head: RequestHead) -> Receiver:
        call = Call(stream, head, self._peer, self._listener.limits.largest_request, self._listener.room)
        call.begin(self._listener.methods, self._loop.call_later)
        return call
