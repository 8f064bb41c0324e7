"""When changes become a push: a single one at once, many close together as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Debounce(Generic[T]):
    """Collects marks and hands them to `flush` in one call. quiet, longest: seconds.

    The first mark after a quiet time is flushed in the next turn of the event loop, so that everything that
    is changed in one turn goes out together. Marks that follow within `quiet` of a flush wait until no more
    come for `quiet`, but no longer than `longest`.
    """

    def __init__(self, flush: Callable[[set[T]], None], *, quiet: float, longest: float) -> None:
        self._flush = flush
        self._quiet = quiet
        self._longest = longest
        self._marks: set[T] = set()
        self._timer: asyncio.Handle | None = None
        self._timed = False
        self._since = 0.0
        self._last = float("-inf")

    def mark(self, what: T) -> None:
        """Note that `what` changed. Without a running event loop nobody listens and nothing happens."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._marks.add(what)
        now = loop.time()
        if self._timer is None:
            self._since = now
            if now - self._last >= self._quiet:
                self._timed = False
                self._timer = loop.call_soon(self._fire, loop)
                return
        elif self._timed:
            self._timer.cancel()
        else:
            return
        self._timed = True
        self._timer = loop.call_at(min(now + self._quiet, self._since + self._longest), self._fire, loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._marks.clear()

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._last = loop.time()
        marks, self._marks = self._marks, set()
        self._flush(marks)
