"""A listening socket whose connections are let in a few at a time, and addresses take turns."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from controlplane.net.crowd import sender
from controlplane.net.rounds import Rounds

_log = structlog.get_logger("laneway.rpc")

ENTER_AT_ONCE = 16
"""Connections that are let in at once. An event loop by itself lets in all that wait."""

PAUSE = 0.004
"""Seconds in which so many are let in where more wait.

To begin a stream takes longer than the connection waits for this, so clients that come back together are
served no later; but a crowd that only comes and goes, 12,000 a second, would take the whole core.
"""

TAKEN_AT_ONCE = 64
"""Connections that are taken from the system in one turn of the event loop. The system keeps those of all
addresses in one queue, and forgets further ones when it is full: they are taken faster than they are let in.
"""

STORM = 4_096
"""Connections that are let in while as many wait as may, before any of those that wait is closed: as many as
the system keeps. Proxies behind one address may all come back at once; what lasts longer is no such storm.
"""

REST = 1.0
"""Seconds without taking any where the system has no descriptor or memory for one more connection."""

_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Note = Callable[[str, str, str], None]
"""Is told of a connection that did not come in: the client's address, the reason, and a text."""


class Door:
    """Makes a protocol of `make` for each connection that arrives on `listening`, until it is closed.

    most: connections that may wait to be let in. Beyond that, the others wait in the system; if that lasts
    (`STORM`), the last of the address of which most wait is closed. note: is told of each that was closed or
    lost.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        most: int,
        note: Note,
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._make = make
        self._most = most
        self._note = note
        self._waiting: Rounds[tuple[str, socket.socket]] = Rounds()
        self._entering: set[asyncio.Task[object]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._rests_until = 0.0  # from taking connections
        self._full = False
        self._let_in_when_full = 0
        self._allowed = float(ENTER_AT_ONCE)
        self._counted = loop.time()
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Let nobody in any more, but those that are entering."""
        if self._listening.fileno() < 0:
            return
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        while self._waiting:
            self._waiting.take()[1].close()

    async def entered(self) -> None:
        """Wait for those that are entering."""
        if self._entering:
            await asyncio.wait(self._entering)

    @property
    def waiting(self) -> int:
        """Connections that wait to be let in."""
        return len(self._waiting)

    def _open(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listening, self._turn)

    def _rest(self, seconds: float) -> None:
        if self._resting is None:
            self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(seconds, self._turn)

    def _turn(self) -> None:
        more = self._take()
        self._let_in()
        if more or self._waiting:
            self._rest(PAUSE)
        elif (rests := self._rests_until - self._loop.time()) > 0:
            self._rest(rests)
        elif self._resting is not None:
            self._open()

    def _take(self) -> bool:
        """Take connections from the system. Whether there may be more of them."""
        if self._rests_until > self._loop.time():
            return False
        if len(self._waiting) <= self._most // 2:
            self._full, self._let_in_when_full = False, 0
        for _ in range(TAKEN_AT_ONCE):
            if len(self._waiting) >= self._most:
                self._full = True
                if self._let_in_when_full < STORM:
                    return True
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno not in _SCARCE:
                    # The error of one connection, which is lost (accept(2), "Error handling").
                    self._note("", "lost", f"it failed before it was accepted: {error}")
                    continue
                _log.error("no connection can be accepted for a while", seconds=REST, error=str(error))
                self._rests_until = self._loop.time() + REST
                return False
            host = sender(peer[0])
            self._waiting.add(host, (host, accepted))
            if len(self._waiting) > self._most:
                crowded, (_, dropped) = self._waiting.drop()
                dropped.close()
                self._note(
                    crowded, "crowd", f"{self._most} connections wait to come in, most of this address"
                )
        return True

    def _let_in(self) -> None:
        now = self._loop.time()
        self._allowed = min(ENTER_AT_ONCE, self._allowed + (now - self._counted) * ENTER_AT_ONCE / PAUSE)
        self._counted = now
        while self._waiting and self._allowed >= 1:
            self._allowed -= 1
            self._let_in_when_full += self._full
            host, accepted = self._waiting.take()
            accepted.setblocking(False)
            # asyncio sets it only where the socket names its protocol.
            with suppress(OSError):  # some systems refuse it where the client has left
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, accepted))
            self._entering.add(task)
            task.add_done_callback(partial(self._entered, host, accepted))

    def _entered(self, host: str, accepted: socket.socket, task: asyncio.Task[object]) -> None:
        self._entering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            accepted.close()
            self._note(host, "lost", f"it was accepted, and then it failed: {error}")
