"""Deadlines of many keys, with one timer of the event loop."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable


class Deadlines:
    """Calls `action` with the keys whose deadline has passed. Deadlines are in seconds of `clock`.

    `clock` may differ from the event loop's: the timer reads it when it fires, and tests that set a clock
    call `check`.
    """

    def __init__(self, clock: Callable[[], float], action: Callable[[Iterable[str]], None]) -> None:
        self._clock, self._action = clock, action
        self._at: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._handle: asyncio.TimerHandle | None = None

    def set(self, key: str, at: float | None) -> None:
        """Set the deadline of `key` to `at`, in place of an earlier one; None removes it."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))
            self._arm()

    def check(self) -> None:
        """Call `action` for the keys that are due, and set the timer for the next deadline."""
        now = self._clock()
        due: list[str] = []
        while self._heap and (self._stale() or self._heap[0][0] <= now):
            if self._stale():
                heapq.heappop(self._heap)
                continue
            _, key = heapq.heappop(self._heap)
            del self._at[key]
            due.append(key)
        self.close()
        if due:
            self._action(due)
        self._arm()

    def _stale(self) -> bool:
        at, key = self._heap[0]
        return self._at.get(key) != at

    def _arm(self) -> None:
        if not self._heap:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(0.0, self._heap[0][0] - self._clock()) + 0.001
        if self._handle is None or when < self._handle.when():
            self.close()
            self._handle = loop.call_at(when, self.check)

    def close(self) -> None:
        """Stop the timer. The deadlines are kept."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
