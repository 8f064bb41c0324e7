"""How every value that a regular expression matches begins and ends: many are told apart by that alone."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from controlplane.plan.proof.patterns import Automaton, Ranges, Unclear, automaton

LONGEST = 64


class Affixes(NamedTuple):
    """What all values begin and end with. The two may overlap."""

    begin: bytes = b""
    end: bytes = b""

    def fit(self, value: bytes) -> bool:
        """Whether the value may be one of them."""
        return value.startswith(self.begin) and value.endswith(self.end)

    def apart(self, other: Affixes) -> bool:
        """Whether no value can have both."""
        return not (
            (self.begin.startswith(other.begin) or other.begin.startswith(self.begin))
            and (self.end.endswith(other.end) or other.end.endswith(self.end))
        )


NONE = Affixes()


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
