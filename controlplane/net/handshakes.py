"""Whose TLS handshake goes on next: handshakes have a share of a core, and addresses take turns.

A client that is nobody yet can make a server sign, which costs it more than most requests: without a bound,
those who connect and say hello keep all others waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

BURST = 0.02
"""Seconds of a core that handshakes may take at once, when there were none for a while."""


class Waiter(Protocol):
    """A connection whose handshake is not over."""

    host: str
    """The address that it counts for, see `crowd.sender`."""

    def shake(self) -> None:
        """Go on with what has arrived."""
        ...


class Handshakes:
    """The handshakes of one port. share: of a core that they may take over time.

    They go on one at a time, and everything else that is ready in between. Where there are more than that
    allows, they wait, the connections of one address in their order: a client that connects again and again
    waits behind itself.
    """

    def __init__(
        self, share: float, burst: float = BURST, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._share = share
        self._burst = self._left = burst
        self._clock = clock
        self._at = clock()
        self._hosts: deque[str] = deque()
        self._waiting: dict[str, dict[Waiter, None]] = {}
        self._timer: asyncio.Handle | None = None
        #: Since the start: parts of handshakes that had to wait; seconds that all took.
        self.delayed = 0
        self.seconds = 0.0

    @property
    def waiting(self) -> int:
        """Connections that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    def arrived(self, waiter: Waiter) -> None:
        """Something has arrived for a handshake: it goes on now, or when it is its turn."""
        if self._timer is None and self._allowed():
            self._go_on(waiter)
            # Whatever else is ready comes before the next one.
            self._timer = asyncio.get_running_loop().call_soon(self._next)
            return
        self.delayed += 1
        waiting = self._waiting.get(waiter.host)
        if waiting is None:
            waiting = self._waiting[waiter.host] = {}
            self._hosts.append(waiter.host)
        waiting[waiter] = None
        if self._timer is None:
            self._arm()

    def leave(self, waiter: Waiter) -> None:
        """The connection has ended. May be called for any."""
        if (waiting := self._waiting.get(waiter.host)) is not None:
            waiting.pop(waiter, None)

    def _allowed(self) -> bool:
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._share)
        self._at = now
        return self._left > 0

    def _go_on(self, waiter: Waiter) -> None:
        began = self._clock()
        waiter.shake()
        took = self._clock() - began
        self._left -= took
        self.seconds += took

    def _next(self) -> None:
        self._timer = None
        if self._allowed() and (waiter := self._pop()) is not None:
            self._go_on(waiter)
        if self._hosts:
            self._arm()

    def _pop(self) -> Waiter | None:
        while self._hosts:
            host = self._hosts.popleft()
            waiting = self._waiting[host]
            waiter = next(iter(waiting), None)
            if waiter is not None:
                del waiting[waiter]
            if waiting:
                self._hosts.append(host)
            else:
                del self._waiting[host]
            if waiter is not None:
                return waiter
        return None

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        if self._left > 0:
            self._timer = loop.call_soon(self._next)
        else:
            self._timer = loop.call_later(-self._left / self._share, self._next)
