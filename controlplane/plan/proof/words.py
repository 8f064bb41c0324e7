"""Words that some regular expressions match and others do not, or the proof that there are none.

The automata are run side by side, and only as far as they are needed: a pattern of a hundred instructions can
have more states than there is memory for, if they are all made first.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise

from controlplane.plan.proof.patterns import LAST, Automaton, Unclear, automaton

State = tuple[int, ...]
STATE_LIMIT = 600
"""States of a product that are looked at for one question."""
WORD_LIMIT = 2_000
"""Words that are tried for one question."""
MEMBERS = 36
"""Characters of one class of characters that are tried."""
LENGTH_LIMIT = 4_096

_LIKED = "abcdefghijklmnopqrstuvwxyz0123456789"
_PRINTED = _LIKED + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + "-._~/=:,;+*()!$&'@%\" #<>?[\\]^`{|}"


class _Lazy:
    """A deterministic automaton whose states are made when they are met."""

    def __init__(self, of: Automaton) -> None:
        self._of = of
        first = of.closure((of.start,), begin=True)
        self._sets = [first]
        self._ids: dict[frozenset[int], int] = {}  # the first state alone may pass `begin`
        self._steps: dict[tuple[int, int], int] = {}
        self._accepts = {0: of.final in of.closure(first, begin=True, end=True)}
        self.bounds = sorted({b for r in of.reads if r for low, high in r for b in (low, high + 1)})

    def step(self, state: int, code: int, key: int) -> int:
        """The state after a character; `key` is the least one that all sets of the automaton treat alike."""
        found = self._steps.get((state, key))
        if found is None:
            if len(self._steps) > 200_000:
                raise Unclear("a regular expression has too many states")
            of = self._of
            ends = [of.then[s] for s in self._sets[state] if (r := of.reads[s]) and _has(r, code)]
            found = self._steps[state, key] = self._id(of.closure(ends))
        return found

    def _id(self, states: frozenset[int]) -> int:
        if states not in self._ids:
            self._ids[states] = len(self._sets)
            self._sets.append(states)
        return self._ids[states]

    def accepts(self, state: int) -> bool:
        """Whether the value may end here."""
        found = self._accepts.get(state)
        if found is None:
            found = self._accepts[state] = self._of.final in self._of.closure(self._sets[state], end=True)
        return found

    def key(self, code: int) -> int:
        """The least character that this automaton cannot tell from `code`."""
        at = bisect_right(self.bounds, code)
        return self.bounds[at - 1] if at else 0

    def stuck(self, state: int) -> bool:
        """Whether no value that begins so can match."""
        return not self._sets[state]


def _has(ranges: tuple[tuple[int, int], ...], code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


@lru_cache(maxsize=2_048)
def _lazy(pattern: str) -> _Lazy:
    return _Lazy(automaton(pattern))


class Words:
    """The words that all of `wanted` match whole and none of `unwanted` does. Raises Unclear."""

    def __init__(self, wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
        self._parts = [_lazy(one) for one in (*wanted, *unwanted)]
        self._wanted = len(wanted)
        bounds = sorted({0, LAST + 1, 0xD800, 0xE000}.union(*(one.bounds for one in self._parts)))
        self._classes = [(low, high - 1) for low, high in pairwise(bounds) if low <= LAST and low != 0xD800]
        self._members = [_members(low, high) for low, high in self._classes]
        self._keys = [[one.key(low) for one in self._parts] for low, _ in self._classes]
        self._steps: dict[State, list[tuple[int, State]]] = {}
        self._far = self._distances()

    def _moves(self, state: State) -> list[tuple[int, State]]:
        """The classes of characters that lead on, and where."""
        found: list[tuple[int, State]] = []
        for index, (low, _) in enumerate(self._classes):
            keys = self._keys[index]
            then = tuple(
                one.step(at, low, key) for one, at, key in zip(self._parts, state, keys, strict=True)
            )
            if not any(self._parts[i].stuck(then[i]) for i in range(self._wanted)):
                found.append((index, then))
        return found

    def _accepts(self, state: State) -> bool:
        return all(
            one.accepts(at) == (i < self._wanted)
            for i, (one, at) in enumerate(zip(self._parts, state, strict=True))
        )

    def _distances(self) -> dict[State, int]:
        """How far the end of a word is, for each state from which there is one."""
        start: State = (0,) * len(self._parts)
        before: dict[State, list[State]] = {start: []}
        left: deque[State] = deque([start])
        while left:
            state = left.popleft()
            moves = self._steps[state] = self._moves(state)
            for _, then in moves:
                if then not in before:
                    if len(before) >= STATE_LIMIT:
                        raise Unclear("the regular expressions have too many states together")
                    before[then] = []
                    left.append(then)
                before[then].append(state)
        far = {state: 0 for state in before if self._accepts(state)}
        left = deque(far)
        while left:
            state = left.popleft()
            for earlier in before[state]:
                if earlier not in far:
                    far[earlier] = far[state] + 1
                    left.append(earlier)
        return far

    def find(self, good: Callable[[str], bool]) -> str | None:
        """A word that is `good`; None if there is provably none. Raises Unclear if none was found."""
        start = (0,) * len(self._parts)
        if start not in self._far:
            return None
        if self._is_small(start):
            return next((word for word in self._all(start, "") if good(word)), None)
        draw = random.Random(0)  # the same words every time
        for number in range(WORD_LIMIT):
            word = self._walk(start, draw, min(number // 50, 24))
            if good(word):
                return word
        raise Unclear("too many values were tried")

    def _walk(self, start: State, draw: random.Random, detour: int) -> str:
        """A word that is at most `detour` characters longer than the shortest, or somewhat more."""
        word: list[str] = []
        state = start
        for steps in range(LENGTH_LIMIT):
            if self._far[state] == 0 and (steps >= detour or draw.random() < 0.3):
                break
            moves = [(i, then) for i, then in self._steps[state] if then in self._far]
            if not moves:
                break
            if steps >= detour:
                moves = [move for move in moves if self._far[move[1]] < self._far[state]] or moves
            printed = [move for move in moves if self._members[move[0]][0] in _PRINTED]
            index, state = draw.choice(printed or moves)
            word.append(draw.choice(self._members[index]) if detour else self._members[index][0])
        return "".join(word)

    def _is_small(self, start: State) -> bool:
        """Whether there are so few words that all of them can be tried."""
        counts: dict[State, int] = {}

        def count(state: State, path: int) -> int:
            if path > 200:
                raise OverflowError
            if state not in counts:
                counts[state] = WORD_LIMIT + 1  # met again before it is known: a circle
                total = self._far[state] == 0
                for index, then in self._steps[state]:
                    if then in self._far:
                        low, high = self._classes[index]
                        total += (high - low + 1) * count(then, path + 1)
                counts[state] = min(total, WORD_LIMIT + 1)
            return counts[state]

        try:
            return count(start, 0) <= WORD_LIMIT
        except OverflowError:
            return False

    def _all(self, state: State, word: str) -> Iterator[str]:
        if self._far[state] == 0:
            yield word
        for index, then in self._steps[state]:
            if then in self._far:
                low, high = self._classes[index]
                for code in range(low, high + 1):
                    yield from self._all(then, word + chr(code))


def _members(low: int, high: int) -> list[str]:
    """Some characters of a class, those that people write first."""
    found = [char for char in _PRINTED if low <= ord(char) <= high][:MEMBERS]
    return found or [chr(code) for code in range(low, min(high, low + MEMBERS - 1) + 1)]


@lru_cache(maxsize=2_048)
def words(wanted: tuple[str, ...], unwanted: tuple[str, ...]) -> Words:
    """See Words; what was looked at once is kept. Raises Unclear."""
    return Words(wanted, unwanted)
