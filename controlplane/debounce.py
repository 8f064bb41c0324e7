"""Batching of bursts: the first event is handled at once, those that follow closely together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Debounce(Generic[T]):
    """Collects marks and hands them to `flush` in one call. quiet, longest: seconds.

    A mark when nothing was flushed for `quiet` goes out in the next turn of the event loop, with everything
    else that is marked in this one. Marks that follow within `quiet` wait until no more come for `quiet`, but
    no longer than `longest` after the first of them.
    """

    def __init__(self, flush: Callable[[set[T]], None], *, quiet: float, longest: float) -> None:
        self._flush = flush
        self._quiet, self._longest = quiet, longest
        self._marks: set[T] = set()
        self._handle: asyncio.Handle | None = None
        self._first = self._last = self._flushed = float("-inf")

    def mark(self, *what: T) -> None:
        """Note that `what` changed. Without a running event loop nobody listens and nothing happens."""
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
        """Flush, or wait on where more was marked in the meantime: one timer serves a whole burst."""
        loop = asyncio.get_running_loop()
        due = min(self._last + self._quiet, self._first + self._longest)
        if loop.time() >= due:
            self.now()
        else:
            self._handle = loop.call_at(due, self._due)

    def now(self) -> None:
        """Flush what waits, if anything does."""
        if self._handle is None:
            return
        self._handle.cancel()
        self._handle = None
        self._flushed = asyncio.get_running_loop().time()
        marks, self._marks = self._marks, set()
        self._flush(marks)

    def close(self) -> None:
        """Forget what waits."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._marks.clear()
