"""Slots: which of the 10000 equal parts of a base route's requests each ratio lane has. Pure.

A change takes the old table and the new shares to the next table, so that growing a share moves requests from
base only, and a table can be stored, exported and restored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

TOTAL = 10_000


class SlotRange(NamedTuple):
    """Slots `start` to `end` (exclusive) of 0-9999 on one base route belong to `lane`.

    A range of a disabled lane is reserved for it, until another lane needs it.
    """

    start: int
    end: int
    lane: str


class Share(NamedTuple):
    """What a ratio lane wants of one base route: a number of slots."""

    slots: int
    enabled: bool


Table = tuple[SlotRange, ...]


def assign(old: Sequence[SlotRange], shares: Mapping[str, Share], serving: Collection[str]) -> Table:
    """The next table, sorted by start. `serving` are the lanes that were enabled until now: others' slots
    were base.

    Lanes that are not in `shares` lose their slots, and lanes with fewer slots than before give up their last
    ones. An enabled lane that wants more takes what was base: first what nobody has, then what is reserved
    for disabled lanes. Only then it takes from lanes that were serving: what they gave up, then what is
    reserved for those that were disabled in this same change. A disabled lane keeps what it has and takes
    nothing. Raises ValueError if the enabled lanes want more than TOTAL slots.
    """
    if sum(share.slots for share in shares.values() if share.enabled) > TOTAL:
        raise ValueError("the enabled lanes want more than all slots")
    owned: dict[str, list[tuple[int, int]]] = {name: [] for name in shares}
    given_up: list[tuple[int, int]] = []
    for start, end, lane in sorted(old):
        if lane in owned:
            owned[lane].append((start, end))
        elif lane in serving:
            given_up.append((start, end))
    for name, share in shares.items():
        cut = _cut(owned[name], _size(owned[name]) - share.slots)
        given_up += cut if name in serving else []
    taken = sorted(part for parts in [*owned.values(), given_up] for part in parts)
    free = _gaps(taken)
    growing = sorted(name for name, share in shares.items() if share.enabled)
    reserves = sorted(name for name, share in shares.items() if not share.enabled)

    def missing(name: str) -> int:
        return shares[name].slots - _size(owned[name])

    for name in growing:
        _take(owned[name], free, missing(name))

    def take_reserves(names: list[str]) -> None:
        for name in growing:
            for reserve in names:
                if (wanted := missing(name)) > 0:
                    owned[name] += _cut(owned[reserve], wanted)

    take_reserves([name for name in reserves if name not in serving])
    for name in growing:
        _take(owned[name], given_up, missing(name))
    take_reserves([name for name in reserves if name in serving])
    return _merged(SlotRange(start, end, name) for name, parts in owned.items() for start, end in parts)


def seeded(table: Sequence[SlotRange], lane: str, ranges: Iterable[tuple[int, int]]) -> Table:
    """`table` with `ranges` for `lane`, as far as they are base and the lane has no slots yet.

    So a restored lane finds its slots again, and one with stale slots disturbs nobody.
    """
    if any(entry.lane == lane for entry in table):
        return tuple(table)
    gaps = _gaps(sorted((entry.start, entry.end) for entry in table))
    added = [
        SlotRange(max(start, low), min(end, high), lane)
        for start, end in ranges
        for low, high in gaps
        if max(start, low) < min(end, high)
    ]
    return _merged([*table, *added])


def _size(parts: Iterable[tuple[int, int]]) -> int:
    return sum(end - start for start, end in parts)


def _cut(parts: list[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """Take the last `count` slots out of `parts`; returns them. Nothing if it is not positive."""
    parts.sort()
    cut: list[tuple[int, int]] = []
    while count > 0 and parts:
        start, end = parts.pop()
        keep = max(start, end - count)
        if keep > start:
            parts.append((start, keep))
        cut.append((keep, end))
        count -= end - keep
    return cut


def _gaps(taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    gaps: list[tuple[int, int]] = []
    position = 0
    for start, end in [*taken, (TOTAL, TOTAL)]:
        if start > position:
            gaps.append((position, start))
        position = max(position, end)
    return gaps


def _take(parts: list[tuple[int, int]], free: list[tuple[int, int]], count: int) -> None:
    """Move up to `count` slots from `free` to `parts`, in as few ranges as can be."""
    while count > 0 and free:
        ends = {end for _, end in parts}
        chosen = min(
            free, key=lambda run: (run[0] not in ends, run[1] - run[0] < count, _preference(run, count))
        )
        free.remove(chosen)
        start, end = chosen
        stop = min(end, start + count)
        parts.append((start, stop))
        if stop < end:
            free.append((stop, end))
        count -= stop - start


def _preference(run: tuple[int, int], count: int) -> tuple[int, int]:
    """The lowest run that is large enough, else the largest."""
    return (0, run[0]) if run[1] - run[0] >= count else (run[0] - run[1], run[0])


def _merged(ranges: Iterable[SlotRange]) -> Table:
    merged: list[SlotRange] = []
    for entry in sorted(ranges):
        if merged and merged[-1].end == entry.start and merged[-1].lane == entry.lane:
            merged[-1] = SlotRange(merged[-1].start, entry.end, entry.lane)
        else:
            merged.append(entry)
    return tuple(merged)
