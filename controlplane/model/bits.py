"""Sets of slots as whole numbers: bit n is slot n. An operation on all 10000 takes under a microsecond."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

TOTAL = 10_000
Bits = int
ALL: Bits = (1 << TOTAL) - 1


def run(start: int, end: int) -> Bits:
    """The slots `start` to `end`, exclusive."""
    return ((1 << (end - start)) - 1) << start


def runs(slots: Bits) -> Iterator[tuple[int, int]]:
    """The runs of neighbouring slots in order: (start, end), end exclusive."""
    position = 0
    while slots:
        gap = (slots & -slots).bit_length() - 1
        slots >>= gap
        length = (~slots & (slots + 1)).bit_length() - 1
        slots >>= length
        position += gap + length
        yield position - length, position


def union(parts: Iterable[Bits]) -> Bits:
    """All slots of the parts."""
    found: Bits = 0
    for part in parts:
        found |= part
    return found


def by_lane(table: Iterable[tuple[int, int, str]]) -> dict[str, Bits]:
    """The slots of each lane, from ranges of (start, end, lane)."""
    found: dict[str, Bits] = {}
    for start, end, lane in table:
        found[lane] = found.get(lane, 0) | run(start, end)
    return found


def first(groups: Sequence[Bits], count: int) -> Bits:
    """`count` slots: those of the first group before those of the next, within a group the lowest."""
    found: Bits = 0
    for group in groups:
        for start, end in runs(group & ~found):
            if count <= 0:
                return found
            found |= run(start, min(end, start + count))
            count -= min(end - start, count)
    return found


def take(slots: Bits, count: int, beside: Bits = 0) -> Bits:
    """Up to `count` of `slots` in as few runs as possible: first where a run of `beside` ends, then the
    lowest run that is large enough, else the largest.
    """
    found: Bits = 0
    left = list(runs(slots)) if count > 0 else []
    ends = {end for _, end in runs(beside)} if left else set[int]()
    while count > 0 and left:
        chosen = min((one[0] not in ends, _preference(one, count), one) for one in left)[2]
        left.remove(chosen)
        start, end = chosen
        stop = min(end, start + count)
        found |= run(start, stop)
        count -= stop - start
    return found


def _preference(one: tuple[int, int], count: int) -> tuple[int, int]:
    size = one[1] - one[0]
    return (0, one[0]) if size >= count else (1, -size)


def last(slots: Bits, count: int) -> Bits:
    """Up to `count` of `slots`, the highest."""
    found: Bits = 0
    for start, end in reversed(list(runs(slots)) if count > 0 else []):
        begin = max(start, end - count)
        found |= run(begin, end)
        count -= end - begin
        if count <= 0:
            break
    return found
