"""A histogram of durations, as Prometheus has them, and when changes happened."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds; one more bucket has what took longer."""

MOMENTS = 4_096
"""How many times of changes are remembered."""
SAME = 0.001
"""Seconds within which changes count as one."""


class Durations:
    """`counts`: by bucket, not cumulative. `sum`: seconds of all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        if seconds > 0:
            self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """(upper bound, how many took at most that long), the last bound being +Inf."""
        found: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, float(total)))
        return found


class Moments:
    """When the changes happened that a clock of collections has numbered."""

    def __init__(self, most: int = MOMENTS) -> None:
        self._at: deque[tuple[int, float]] = deque(maxlen=most)
        self._forgotten = 0
        # What was asked for last: many streams get one change.
        self._found: tuple[int, float | None] = 0, None

    def add(self, number: int, at: float) -> None:
        """All changes up to `number` that were not added yet happened at `at`, in seconds."""
        if self._at and at - self._at[-1][1] < SAME:
            at = self._at.pop()[1]
        elif len(self._at) == self._at.maxlen:
            self._forgotten = self._at[0][0]
        self._at.append((number, at))
        self._found = 0, None

    def of(self, number: int) -> float | None:
        """When that change happened; None if it was forgotten, or not added."""
        if number == self._found[0]:
            return self._found[1]
        place = bisect_left(self._at, (number, float("-inf")))
        found = self._at[place][1] if number > self._forgotten and place < len(self._at) else None
        self._found = number, found
        return found
