"""All series, within a bound; what is beyond it is counted under `other`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from controlplane.traffic.series import COARSE, COARSE_ROWS, Key, Series

OTHER = "other"
"""The service of requests for which there is no room for a series of their own."""


class Table:
    """most: series. `left_out`: how many kinds of requests are counted under OTHER."""

    def __init__(self, most: int = 4_000) -> None:
        self._most = most
        self._series: dict[Key, Series] = {}
        self._left_out: set[int] = set()
        self.ended = 0
        """Series that were given up, since their lane ended or nothing was counted for an hour."""

    def __iter__(self) -> Iterator[Series]:
        return iter(tuple(self._series.values()))

    def __len__(self) -> int:
        return len(self._series)

    @property
    def left_out(self) -> int:
        return len(self._left_out)

    @property
    def bytes(self) -> int:
        """About what all series take."""
        return len(self._series) * Series.size()

    @property
    def most(self) -> int:
        return self._most

    def of(self, key: Key) -> Series:
        """The series of `key`, or where there are too many, that of all others of its hop and gateway."""
        found = self._series.get(key)
        if found is not None:
            return found
        if len(self._series) >= self._most:
            if len(self._left_out) < 10 * self._most:
                self._left_out.add(hash(key))
            key = Key(key.hop, key.gateway, "", OTHER, OTHER, "", "")
            found = self._series.get(key)
            if found is not None:
                return found
        found = self._series[key] = Series(key)
        return found

    def where(self, wanted: Callable[[Key], bool]) -> list[Series]:
        """The series of which `wanted` holds."""
        return [one for key, one in tuple(self._series.items()) if wanted(key)]

    def keep_lanes(self, lanes: Collection[str]) -> bool:
        """Give up the series of all other lanes. Whether there were any."""
        return self._drop(key for key in self._series if key.lane and key.lane not in lanes)

    def forget_before(self, slot: int) -> bool:
        """Give up series in which nothing was counted in the hour before `slot`. Whether there were any."""
        oldest = slot - COARSE * COARSE_ROWS
        return self._drop(key for key, one in self._series.items() if one.last < oldest)

    def _drop(self, keys: Iterable[Key]) -> bool:
        gone = list(keys)
        for key in gone:
            del self._series[key]
        self.ended += len(gone)
        if gone:
            self._left_out.clear()
        return bool(gone)
