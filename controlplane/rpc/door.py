"""A listening socket whose connections are accepted a few at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import structlog

_log = structlog.get_logger("laneway.rpc")

ACCEPTED_AT_ONCE = 16
"""Connections that are accepted in one turn of the event loop, which by itself accepts all that wait."""

PAUSE = 0.004
"""Seconds until the next are accepted where more than that many wait.

To begin a stream takes longer than the connection waits for this, so clients that come back together are
served no later; but a crowd that only comes and goes, 12,000 a second, would take the whole core.
"""

REST = 1.0
"""Seconds without accepting where the system has no descriptor or memory for one more connection."""


class Door:
    """Makes a protocol of `make` for each connection that arrives on `listening`, until it is closed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._make = make
        self._entering: set[asyncio.Task[object]] = set()
        self._resting: asyncio.TimerHandle | None = None
        listening.setblocking(False)
        self._open()

    def close(self) -> None:
        """Accept nothing more. Those that are entering come in."""
        if self._listening.fileno() < 0:
            return
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    async def entered(self) -> None:
        """Wait for those that are entering."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _open(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _log.error("no connection can be accepted for a while", seconds=REST, error=str(error))
                self._rest(REST)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._make, accepted))
            self._entering.add(task)
            task.add_done_callback(self._entered)
        self._rest(PAUSE)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._resting = self._loop.call_later(seconds, self._open)

    def _entered(self, task: asyncio.Task[object]) -> None:
        self._entering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # The client may have left meanwhile.
            _log.warning("a connection was accepted and is lost", error=str(error))
