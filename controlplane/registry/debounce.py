"""Batching of bursts: the first event is handled at once, those that follow closely together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Debounce:
    """Calls `action` soon after `poke`: in the next turn of the event loop when nothing happened lately, else
    when `quiet` seconds passed without another poke, but `at_most` seconds after the first one that waits.
    """

    def __init__(self, action: Callable[[], None], quiet: float, at_most: float) -> None:
        self._action = action
        self._quiet, self._at_most = quiet, at_most
        self._handle: asyncio.Handle | None = None
        self._first = self._last = float("-inf")
        self._ran = float("-inf")

    def poke(self) -> None:
        """Something happened. Must be called in the event loop."""
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        if self._handle is not None:
            return
        self._first = self._last
        if self._last - self._ran >= self._quiet:
            self._handle = loop.call_soon(self.now)
        else:
            self._handle = loop.call_later(self._quiet, self._wait_on)

    def _wait_on(self) -> None:
        """Run now, or wait on where something happened in the meantime."""
        loop = asyncio.get_running_loop()
        due = min(self._last + self._quiet, self._first + self._at_most)
        if loop.time() >= due:
            self.now()
        else:
            self._handle = loop.call_at(due, self._wait_on)

    def now(self) -> None:
        """Run the action if something waits."""
        if self._handle is None:
            return
        self.close()
        self._ran = asyncio.get_running_loop().time()
        self._action()

    def close(self) -> None:
        """Forget what waits."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
