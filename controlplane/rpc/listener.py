"""The port on which calls arrive: sockets, and the bounds of all of its connections together."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

import structlog

from controlplane.net.crowd import Crowd
from controlplane.net.handshakes import Handshakes
from controlplane.net.lines import Lines
from controlplane.net.tls import Channel, Tls

from .backlog import Backlog
from .connection import Connection
from .door import Door
from .room import Room
from .transport import Limits, Methods
from .turns import Turns

_log = structlog.get_logger("laneway.rpc")
_BACKLOG = 4096
_SWEEPS = 6  # in a keepalive time
_CHECKED_AT_ONCE = 64  # connections in one turn of the event loop
_REQUESTS_AT_ONCE = 8  # of the largest size, in parts, over all connections
_RELIEF = 1.0  # seconds between two looks at who keeps others waiting

CLOSED_AT_ONCE = 32
"""Connections that their clients have left and that are closed in one turn of the event loop."""


def _abort(connection: Connection) -> None:
    connection.transport.abort()


class Listener:
    """Serves `methods` on one port, within `limits`, by TLS if it is given. It is a Transport."""

    def __init__(self, methods: Methods, limits: Limits, tls: Tls | None = None) -> None:
        self._tls = tls
        self.methods = methods
        self.limits = limits
        self.connections: set[Connection] = set()
        self.empty = asyncio.Event()
        self.requests = Room(
            "parts of requests", _REQUESTS_AT_ONCE * limits.largest_request, 2 * limits.largest_request
        )
        self.backlog = Backlog(self._soon, limits.waiting)
        self.stopping = False
        #: Connections that were ended since the start, by reason.
        self.ended: Counter[str] = Counter()
        self.turns = Turns(self._soon)
        self.handshakes = Handshakes(limits.handshake_cpu)
        self._deserted: deque[Connection] = deque()
        self._crowd: Crowd[Connection] = Crowd(limits.connections, limits.connections_per_address)
        self._lines = Lines()
        self._door: Door | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._relieving: asyncio.TimerHandle | None = None
        self._pressed = False

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
        self._door = Door(
            loop,
            listening,
            lambda: Connection(self, loop, self._channel()),
            self.limits.entering,
            self._outside,
        )
        self._sweep()
        self._relieve()
        return listening.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Accept nothing more, ask the clients to leave, and cut those off that are there after `grace`."""
        if self._door is None:
            return
        self._door.close()
        self.stopping = True
        for timer in (self._sweeping, self._relieving):
            if timer is not None:
                timer.cancel()
        await self._door.entered()
        for connection in self.connections:
            connection.http2.ends.go_away()
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
                await self.empty.wait()

    def _channel(self) -> Channel | None:
        return None if self._tls is None else Channel(self._tls.material.context)

    # The connections' side.

    def enter(self, connection: Connection) -> bool:
        """Let a connection in, if there is room."""
        displaced = self._crowd.enter(connection, connection.host)
        if displaced is connection:
            self.note(connection, "refused", "every connection that the port may have is in use")
            return False
        if displaced is not None:
            displaced.end("displaced", "it was idle, and a new connection needed its place")
        self.connections.add(connection)
        return True

    def served(self, connection: Connection, now: bool) -> None:
        """Whether the connection has a request in work."""
        if now:
            self._crowd.busy(connection)
        else:
            self._crowd.waiting(connection)

    def deserted(self, connection: Connection) -> None:
        """Its client has closed it.

        To close a socket takes several times as long as to hear that its client has: where thousands leave
        together, closing them in one turn of the event loop would hold up all others.
        """
        self._deserted.append(connection)
        if len(self._deserted) == 1:
            self._soon(partial(self._in_parts, self._deserted, _abort, CLOSED_AT_ONCE))

    def left(self, connection: Connection) -> None:
        """It has ended."""
        self._crowd.leave(connection)
        self.connections.discard(connection)
        if not self.connections:
            self.empty.set()

    def note(self, connection: Connection, reason: str, text: str) -> None:
        """Count and log that a connection is ended."""
        self._ended(connection.host, connection.peer, reason, text)

    def _outside(self, host: str, reason: str, text: str) -> None:
        self._ended(host, host, reason, text)

    def _ended(self, host: str, peer: str, reason: str, text: str) -> None:
        self.ended[reason] += 1
        self._lines.write(_log.info, "a connection was ended", host, peer=peer, reason=reason, text=text)

    @property
    def open(self) -> int:
        """Open connections."""
        return len(self.connections)

    @property
    def entering(self) -> int:
        """Connections that wait to be let in."""
        return 0 if self._door is None else self._door.waiting

    @property
    def handshakes_delayed(self) -> int:
        """Parts of TLS handshakes that waited for their turn, since the start."""
        return self.handshakes.delayed

    @property
    def suppressed_lines(self) -> int:
        """Log lines about connections that were left out, because one address caused too many."""
        return self._lines.suppressed

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self.limits.keepalive / _SWEEPS, self._sweep)
        self._in_parts(deque(self.connections), lambda one: one.check(loop.time()), _CHECKED_AT_ONCE)

    def _in_parts(self, queue: deque[Connection], do: Callable[[Connection], None], at_once: int) -> None:
        """Do this for all in the queue, for so many in one turn of the event loop."""
        for _ in range(min(len(queue), at_once)):
            do(queue.popleft())
        if queue:
            self._soon(partial(self._in_parts, queue, do, at_once))

    def _relieve(self) -> None:
        """End connections that keep others waiting for memory and read nothing: first those that hold most
        of the address that holds most.
        """
        loop = asyncio.get_running_loop()
        self._relieving = loop.call_later(_RELIEF, self._relieve)
        waits, self._pressed = self._pressed, bool(self.backlog.asking)
        if not self._pressed:
            return
        if not waits:
            _log.warning(
                "streams wait for memory: clients have not read what they were sent",
                bytes=self.backlog.size,
                connections=len(self.backlog.asking),
            )
        now, patience = loop.time(), self.limits.unread_pressed
        held = {one: holds for one in self.connections if (holds := one.holds(now, patience))}
        by_host = Counter[str]()
        for one, holds in held.items():
            by_host[one.host] += round(holds)
        for one in sorted(held, key=lambda one: (by_host[one.host], held[one]), reverse=True):
            if not self.backlog.asking or self.backlog.size < self.backlog.most // 2:
                return
            text = f"responses wait for memory, and this connection read nothing for {patience:g} s"
            one.end("memory", text)

    @staticmethod
    def _soon(what: Callable[[], None]) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(what)

    @property
    def waiting(self) -> int:
        """Bytes of responses that wait to be read; those that many clients are sent count once."""
        return self.backlog.size
