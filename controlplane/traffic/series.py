"""One series: what was counted of one kind of requests, in time.

Two rings of rows: a row for each SLOT seconds of the last RECENT slots, and one for each COARSE slots of the
last hour. A row has a number for each field and is of 32 bits, so a series takes some 24 KiB whatever its
traffic.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

SLOT = 5
"""Seconds: as often as proxies report."""
RECENT = 180
"""Slots that are kept one by one: a quarter of an hour."""
COARSE = 12
"""Slots in a row of what is older: a minute."""
COARSE_ROWS = 60
HISTORY = SLOT * COARSE * COARSE_ROWS
"""Seconds that are kept."""

BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500, 1000, 2000, 5000, 10000)
"""Upper bounds of durations in milliseconds; one more bucket has what took longer. Bootstraps have them."""

REQUESTS = 0
CLIENT_ERRORS = 1
"""Answers with a status from 400 to 499."""
SERVER_ERRORS = 2
"""Answers with a status of 500 or more, also those that a proxy gave itself."""
RESETS = 3
"""Requests that ended without an answer, but for those that the client gave up."""
CANCELLED = 4
"""Requests that the client gave up before there was an answer."""
RETRIES = 5
FALLBACKS = 6
"""Requests of a lane that base answered in place of the lane's instances."""
REFUSALS = 7
"""Requests that no instance could be chosen for."""
FIRST_BUCKET = 8
FIELDS = FIRST_BUCKET + len(BUCKETS) + 1
MOST = 0xFFFF_FFFF

Hop = Literal["edge", "outbound", "inbound"]


class Key(NamedTuple):
    """Which requests. A text is empty where there is none: no lane, no route.

    hop: who counted, see docs/reference/metrics.md. tag: of who answered, "base", or "" for nobody.
    """

    hop: Hop
    gateway: str
    route: str
    service: str
    application: str
    lane: str
    tag: str


class Series:
    """`totals` count since the control plane began; `duration` is the sum of durations in milliseconds."""

    __slots__ = ("_coarse", "_coarse_of", "_recent", "_recent_of", "duration", "key", "last", "totals")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.last = -1
        """The last slot in which something was counted."""
        self.totals = [0] * FIELDS
        self.duration = 0.0
        self._recent = array("I", bytes(4 * FIELDS * RECENT))
        self._recent_of = array("q", [-1] * RECENT)
        self._coarse = array("I", bytes(4 * FIELDS * COARSE_ROWS))
        self._coarse_of = array("q", [-1] * COARSE_ROWS)

    @classmethod
    def size(cls) -> int:
        """Bytes of one series."""
        rows = 4 * FIELDS * (RECENT + COARSE_ROWS) + 8 * (RECENT + COARSE_ROWS)
        return rows + 8 * FIELDS + 1_000

    def add(self, slot: int, counted: Iterable[tuple[int, int]]) -> None:
        """Count in `slot`: pairs of a field and how much more of it there is."""
        if slot > self.last:
            self.last = slot
        first = self._row(self._recent, self._recent_of, slot, RECENT)
        second = self._row(self._coarse, self._coarse_of, slot // COARSE, COARSE_ROWS)
        for field, more in counted:
            self.totals[field] += more
            if first >= 0:
                self._recent[first + field] = min(self._recent[first + field] + more, MOST)
            if second >= 0:
                self._coarse[second + field] = min(self._coarse[second + field] + more, MOST)

    @staticmethod
    def _row(rows: array[int], of: array[int], number: int, most: int) -> int:
        """Where the row of that number begins, cleared if it was another's; -1 for one that is too old."""
        place = number % most
        if of[place] != number:
            if of[place] > number:
                return -1
            of[place] = number
            rows[place * FIELDS : (place + 1) * FIELDS] = array("I", bytes(4 * FIELDS))
        return place * FIELDS

    def read(self, first: int, last: int, into: list[int]) -> bool:
        """Add what was counted in the slots from `first` up to, not including, `last`. Whether there is any.

        Slots older than the recent ones are read by whole rows of COARSE.
        """
        if self.last < first:
            return False
        found = False
        recent = max(first, last - RECENT)
        if first < recent:
            for number in range(first // COARSE, -(-recent // COARSE)):
                found |= self._into(self._coarse, self._coarse_of, number, COARSE_ROWS, into)
            recent = -(-recent // COARSE) * COARSE
        for number in range(recent, min(last, self.last + 1)):
            found |= self._into(self._recent, self._recent_of, number, RECENT, into)
        return found

    @staticmethod
    def _into(rows: array[int], of: array[int], number: int, most: int, into: list[int]) -> bool:
        place = number % most
        if of[place] != number:
            return False
        start = place * FIELDS
        for field in range(FIELDS):
            into[field] += rows[start + field]
        return True


def quantile(buckets: Sequence[int], wanted: float) -> float | None:
    """The duration in milliseconds below which that part of the requests is, interpolated; None without any.

    What took longer than the last bound counts as the last bound.
    """
    total = sum(buckets)
    if not total:
        return None
    rank, below = wanted * total, 0
    for position, (bound, count) in enumerate(zip(BUCKETS, buckets, strict=False)):
        if count and below + count >= rank:
            low = BUCKETS[position - 1] if position else 0
            return low + (bound - low) * max(0.0, rank - below) / count
        below += count
    return float(BUCKETS[-1])
