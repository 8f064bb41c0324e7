"""Whose requests are handled next: a turn of the event loop has a bounded time for requests.

What has arrived is handled at once while there is time left in the turn. Beyond that, connections wait in a
ring: addresses take turns, and the connections of one address among themselves. So a client that sends more
than can be handled makes itself wait, and a change reaches all others within a turn.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

SLICE = 0.000_5
"""Seconds for requests in a turn of the loop, and for one connection."""


class Reader(Protocol):
    """A connection."""

    host: str
    """The address that it counts for."""
    cpu: float
    """Seconds that may still be spent on it."""

    def handle(self, until: float) -> bool:
        """Handle what has arrived, until `time.perf_counter()`. Whether that was all of it."""
        ...


class Turns:
    """soon: calls something in the next turn of the loop."""

    def __init__(self, soon: Callable[[Callable[[], None]], object]) -> None:
        self._soon = soon
        self._left = SLICE
        self._armed = False
        self._hosts: deque[str] = deque()
        self._waiting: dict[str, deque[Reader]] = {}

    def arrived(self, reader: Reader) -> bool:
        """There is something to handle. Whether all of it has been handled; else that is done later."""
        if not self._armed:
            self._armed = True
            self._soon(self._next)
        if not self._hosts and self._left > 0:
            began = time.perf_counter()
            whole = reader.handle(began + SLICE)
            took = time.perf_counter() - began
            self._left -= took
            reader.cpu -= took
            if whole:
                return True
        self._wait(reader)
        return False

    def _wait(self, reader: Reader) -> None:
        waiting = self._waiting.get(reader.host)
        if waiting is None:
            waiting = self._waiting[reader.host] = deque()
            self._hosts.append(reader.host)
        waiting.append(reader)

    def _next(self) -> None:
        self._armed = False
        if self._left < 0:  # the turn before took longer: for as many turns others go on alone
            self._left += SLICE
            if self._hosts:
                self._armed = True
                self._soon(self._next)
            return
        hosts, now = self._hosts, time.perf_counter()
        end = now + SLICE
        while hosts and now < end:
            host = hosts.popleft()
            waiting = self._waiting[host]
            reader = waiting.popleft()
            if waiting:
                hosts.append(host)
            else:
                del self._waiting[host]
            if not reader.handle(now + SLICE):
                self._wait(reader)
            began, now = now, time.perf_counter()
            reader.cpu -= now - began
        self._left = end - now
        if hosts and not self._armed:
            self._armed = True
            self._soon(self._next)
