"""Batching of bursts of events: the first event is handled at once, and events that follow soon after are
handled in one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Debounce(Generic[T]):
    """Collects what was marked and hands it to `flush` in one call. `quiet` and `longest` are seconds.

    If nothing was flushed for the last `quiet` seconds, a mark is flushed in the next turn of the event loop,
    together with everything else that is marked in the current turn. Otherwise marks wait until no new mark
    has come for `quiet` seconds, but never longer than `longest` seconds after the first of them.
    """

    def __init__(self, flush: Callable[[set[T]], None], *, quiet: float, longest: float) -> None:
        self._flush = flush
        self._quiet, self._longest = quiet, longest
        self._marks: set[T] = set()
        self._handle: asyncio.Handle | None = None
        self._first = self._last = self._flushed = float("-inf")

    def mark(self, *what: T) -> None:
        """Note that `what` changed. Without a running event loop there is no listener, and the call does
        nothing.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._marks.update(what)
        self._last = loop.time()
        if self._handle is not None:
            return
        self._first = self._last
        if self._last - self._flushed >= self._quiet:
            self._handle = loop.call_soon(self.now)
        else:
            self._handle = loop.call_later(self._quiet, self._due)

    def _due(self) -> None:
        """Flush, or wait again if more was marked meanwhile. One timer serves a whole burst."""
        loop = asyncio.get_running_loop()
        due = min(self._last + self._quiet, self._first + self._longest)
        if loop.time() >= due:
            self.now()
        else:
            self._handle = loop.call_at(due, self._due)

    def now(self) -> None:
        """Flush the marks that wait, if there are any."""
        if self._handle is None:
            return
        self._handle.cancel()
        self._handle = None
        self._flushed = asyncio.get_running_loop().time()
        marks, self._marks = self._marks, set()
        self._flush(marks)

    def close(self) -> None:
        """Forget the marks that wait."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._marks.clear()
