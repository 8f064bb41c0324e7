"""How every value that a regular expression matches begins and ends: many are told apart by that alone."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

from controlplane.plan.proof.patterns import Automaton, Ranges, Unclear, automaton

LONGEST = 64
"""Bytes of a beginning or an end that are compared."""


class Affixes(NamedTuple):
    """What all values begin and end with. The two may overlap."""

    begin: bytes = b""
    end: bytes = b""


NONE = Affixes()


class AffixIndex:
    """Affixes with a number each: found without looking at all of them."""

    def __init__(self) -> None:
        self._begins, self._ends = _Texts(), _Texts()

    def add(self, known: Affixes, rank: int) -> None:
        """One more."""
        self._begins.add(known.begin, rank)
        self._ends.add(known.end[::-1], rank)

    def fit(self, value: bytes) -> set[int]:
        """Those that the value may have."""
        return self._begins.begun_by(value) & self._ends.begun_by(value[::-1])

    def together(self, known: Affixes) -> set[int]:
        """Those that some value may have besides these."""
        return self._begins.related(known.begin) & self._ends.related(known.end[::-1])


class _Texts:
    """Texts with numbers, found by what they begin with."""

    def __init__(self) -> None:
        self._ranks: dict[bytes, set[int]] = {}
        self._sorted: list[bytes] | None = None

    def add(self, text: bytes, rank: int) -> None:
        """One more."""
        self._ranks.setdefault(text, set()).add(rank)
        self._sorted = None

    def begun_by(self, value: bytes) -> set[int]:
        """Those of the texts that `value` begins with."""
        lengths = range(min(len(value), LONGEST) + 1)
        return set[int]().union(*(self._ranks.get(value[:length], ()) for length in lengths))

    def related(self, text: bytes) -> set[int]:
        """Those of the texts that `text` begins with, or that begin with it."""
        if self._sorted is None:
            self._sorted = sorted(self._ranks)
        found = self.begun_by(text)
        for at in range(bisect_left(self._sorted, text), len(self._sorted)):
            if not self._sorted[at].startswith(text):
                break
            found |= self._ranks[self._sorted[at]]
        return found


@lru_cache(maxsize=4_096)
def affixes(pattern: str) -> Affixes:
    """Those of the values that `pattern` matches whole; of one that cannot be read, nothing is known."""
    try:
        made = automaton(pattern)
    except Unclear:
        return NONE
    return Affixes(_begin(made), _end(made))


def _begin(made: Automaton) -> bytes:
    """Assertions are taken as met: what all of more values begin with, these begin with, too."""
    found = bytearray()
    states = made.closure((made.start,), begin=True, end=True)
    while made.final not in states and len(found) < LONGEST:
        reading = [(reads, made.then[one]) for one in states if (reads := made.reads[one])]
        code = _only([reads for reads, _ in reading])
        if code is None:
            break
        found.append(code)
        states = made.closure((then for _, then in reading), begin=True, end=True)
    return bytes(found)


def _end(made: Automaton) -> bytes:
    """As `_begin`, from the last state back."""
    before: dict[int, list[int]] = {}
    readers: dict[int, list[int]] = {}
    for state, free in enumerate(made.free):
        for then in free:
            before.setdefault(then, []).append(state)
        if made.reads[state]:
            readers.setdefault(made.then[state], []).append(state)

    def back(states: list[int]) -> set[int]:
        seen: set[int] = set()
        left = list(states)
        while left:
            state = left.pop()
            if state not in seen:
                seen.add(state)
                left += before.get(state, ())
        return seen

    found = bytearray()
    states = back([made.final])
    while made.start not in states and len(found) < LONGEST:
        reading = [one for state in states for one in readers.get(state, ())]
        code = _only([reads for one in reading if (reads := made.reads[one])])
        if code is None:
            break
        found.append(code)
        states = back(reading)
    return bytes(reversed(found))


def _only(several: list[Ranges]) -> int | None:
    """The one character of ASCII that all of them read; None if there are others. (RE2 takes bytes that are
    no UTF-8 for a character outside of ASCII.)
    """
    codes = {one for ranges in several for one in ranges}
    low, high = codes.pop() if len(codes) == 1 else (0, 1)
    return low if low == high and low < 128 else None
