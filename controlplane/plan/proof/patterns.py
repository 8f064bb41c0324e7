"""Regular expressions of RE2 as automata: a part of the syntax that is read exactly as RE2 reads it.

What is not in that part raises Unclear, and then nothing is claimed. https://github.com/google/re2/wiki/Syntax
The values are texts (UTF-8); of other bytes nothing is claimed either. Why no library does this:
docs/decisions/0028-proofs-about-rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

LAST = 0x10FFFF
Ranges = tuple[tuple[int, int], ...]
"""Sorted, disjoint ranges of code points, both ends inclusive."""
ANY: Ranges = ((0, LAST),)

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "blank": ((9, 9), (32, 32)),
    "digit": _DIGIT,
    "lower": ((97, 122),),
    "upper": ((65, 90),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_ESCAPES = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_REPEAT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([isU]*)(?:-([isU]+))?([:)])")
_NAME = re.compile(r"\?P?<\w+>")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_NAMED_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
STATE_LIMIT = 4_000
DEPTH_LIMIT = 50

_OTHER = "a regular expression is not read as RE2 does"


class Unclear(Exception):
    """What cannot be decided; the text says why, as part of a sentence."""


@dataclass(slots=True)
class Automaton:
    """A nondeterministic automaton. A state reads a character of `reads` and goes to `then`, or goes on
    without reading to `free`; through `begin` and `end` only at that end of the value.
    """

    reads: list[Ranges | None] = field(default_factory=list[Ranges | None])
    then: list[int] = field(default_factory=list[int])
    free: list[list[int]] = field(default_factory=list[list[int]])
    begin: set[int] = field(default_factory=set[int])
    end: set[int] = field(default_factory=set[int])
    start: int = 0
    final: int = 0

    def add(self, reads: Ranges | None = None, then: int = -1, free: Iterable[int] = ()) -> int:
        """A new state. Raises Unclear if there are too many."""
        if len(self.reads) >= STATE_LIMIT:
            raise Unclear("a regular expression is too large")
        self.reads.append(reads)
        self.then.append(then)
        self.free.append(list(free))
        return len(self.reads) - 1

    def closure(self, states: Iterable[int], begin: bool = False, end: bool = False) -> frozenset[int]:
        """`states` and what they reach without reading."""
        found: set[int] = set()
        left = list(states)
        while left:
            state = left.pop()
            if state in found:
                continue
            found.add(state)
            if (state in self.begin and not begin) or (state in self.end and not end):
                continue
            left += self.free[state]
        return frozenset(found)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and joined."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)


def complement(ranges: Ranges) -> Ranges:
    """All other code points."""
    found: list[tuple[int, int]] = []
    at = 0
    for low, high in ranges:
        if low > at:
            found.append((at, low - 1))
        at = high + 1
    if at <= LAST:
        found.append((at, LAST))
    return tuple(found)


def folded(ranges: Ranges) -> Ranges:
    """With both cases of each letter, as RE2 folds them. Raises Unclear outside of ASCII."""
    if ranges and ranges[-1][1] > 127:
        raise Unclear("a regular expression ignores the case of characters outside of ASCII")
    found = list(ranges)
    for low, high in ranges:
        for code in range(max(low, 65), min(high, 122) + 1):
            char = chr(code)
            if char.isalpha():
                found += _one(ord(char.swapcase()))
                if char in "kK":
                    found.append((0x212A, 0x212A))  # the sign of Kelvin
                if char in "sS":
                    found.append((0x17F, 0x17F))  # the long s
    return union(found)


Flags = frozenset[str]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: Literal["or", "and", "repeat", "read", "begin", "end"]
    parts: tuple[_Node, ...] = ()
    reads: Ranges = ()
    low: int = 0
    high: int | None = None


class _Parser:
    """Recursive descent over a pattern that RE2 has compiled before."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Node:
        """The pattern. Raises Unclear."""
        node, _ = self._alternatives(frozenset())
        if self._at < len(self._text):
            raise Unclear(_OTHER)
        return node

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _found(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Match here, and go behind the match."""
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return found

    def _alternatives(self, flags: Flags) -> tuple[_Node, Flags]:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise Unclear("a regular expression is nested too deeply")
        branches: list[_Node] = []
        while True:
            node, flags = self._sequence(flags)
            branches.append(node)
            if self._peek() != "|":
                break
            self._at += 1
        self._depth -= 1
        return _Node("or", tuple(branches)), flags

    def _sequence(self, flags: Flags) -> tuple[_Node, Flags]:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            found = _FLAGS.match(self._text, self._at)
            if found and found[3] == ")":
                flags = _changed(flags, found)
                self._at = found.end()
                continue
            parts.append(self._repeated(self._atom(flags)))
        return _Node("and", tuple(parts)), flags

    def _repeated(self, node: _Node) -> _Node:
        char = self._peek()
        if char in ("*", "+", "?"):
            self._at += 1
            low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        elif found := self._found(_REPEAT):
            low = int(found[1])
            high = low if found[2] is None else int(found[3]) if found[3] else None
        else:
            return node
        if self._peek() == "?":  # as few as possible: the same values match whole
            self._at += 1
        if self._peek() in ("*", "+", "?") or _REPEAT.match(self._text, self._at):
            raise Unclear("a regular expression repeats a repetition")
        return _Node("repeat", (node,), low=low, high=high)

    def _atom(self, flags: Flags) -> _Node:
        if found := self._found(_FLAGS):
            return self._group(_changed(flags, found))
        char = self._peek()
        self._at += 1
        if char == "(":
            if not self._found(_NAME) and self._peek() == "?":
                raise Unclear("a regular expression has a group of a kind that is not compared")
            return self._group(flags)
        if char == "[":
            return _Node("read", reads=self._class(flags))
        if char == ".":
            return _Node("read", reads=ANY if "s" in flags else complement(((10, 10),)))
        if char in ("^", "$"):
            return _Node("begin" if char == "^" else "end")
        if char == "\\" and self._peek() in ("A", "z"):
            self._at += 1
            return _Node("begin" if self._text[self._at - 1] == "A" else "end")
        if char == "\\":
            return _Node("read", reads=self._escape(flags))
        if char in "*+?" or (char == "{" and _REPEAT.match(self._text, self._at - 1)):
            raise Unclear(_OTHER)
        return _Node("read", reads=_cased(_one(ord(char)), flags))

    def _group(self, flags: Flags) -> _Node:
        node, _ = self._alternatives(flags)
        if self._peek() != ")":
            raise Unclear(_OTHER)
        self._at += 1
        return node

    def _escape(self, flags: Flags) -> Ranges:
        """What follows a backslash, in a class and outside."""
        if found := self._found(_HEX):
            return _cased(_one(int(found[1] or found[2], 16)), flags)
        char = self._peek()
        self._at += 1
        if char.lower() in _CLASSES:
            ranges = _cased(_CLASSES[char.lower()], flags)
            return ranges if char.islower() else complement(ranges)
        if char in _ESCAPES:
            return _one(_ESCAPES[char])
        if char.isascii() and char and not char.isalnum() and char != "_":
            return _one(ord(char))
        raise Unclear(f"a regular expression has \\{char}, which is not compared")

    def _class(self, flags: Flags) -> Ranges:
        negated = self._peek() == "^"
        self._at += negated
        found: list[tuple[int, int]] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if named := self._found(_NAMED_CLASS):
                if named[2] not in _POSIX:
                    raise Unclear(f"a regular expression has [:{named[2]}:], which is not compared")
                ranges = _cased(_POSIX[named[2]], flags)
                found += complement(ranges) if named[1] else ranges
                continue
            low = self._member(flags)
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                at = self._at - 1  # ends of a range are read without regard to case
                self._at += 1
                if self._text[at] == "]" or "\\" in (self._text[at - 1 : at], self._peek()):
                    raise Unclear("a regular expression has a range of escapes, which is not compared")
                ends = ord(self._text[at]), ord(self._peek() or "\0")
                self._at += 1
                if ends[0] > ends[1]:
                    raise Unclear(_OTHER)
                found += _cased((ends,), flags)
            else:
                found += low
        self._at += 1
        return complement(union(found)) if negated else union(found)

    def _member(self, flags: Flags) -> Ranges:
        char = self._peek()
        if not char:
            raise Unclear(_OTHER)
        self._at += 1
        return self._escape(flags) if char == "\\" else _cased(_one(ord(char)), flags)


def _changed(flags: Flags, found: re.Match[str]) -> Flags:
    return (flags | set(found[1])) - set(found[2] or "")


def _one(code: int) -> Ranges:
    return ((code, code),)


def _cased(ranges: Ranges, flags: Flags) -> Ranges:
    return folded(ranges) if "i" in flags else ranges


def _compiled(made: Automaton, node: _Node, after: int) -> int:
    """The state from which `node` is read, and then what `after` reads."""
    if node.kind == "read":
        return made.add(node.reads, after)
    if node.kind in ("begin", "end"):
        state = made.add(free=[after])
        (made.begin if node.kind == "begin" else made.end).add(state)
        return state
    if node.kind == "or":
        return made.add(free=[_compiled(made, part, after) for part in node.parts])
    if node.kind == "and":
        for part in reversed(node.parts):
            after = _compiled(made, part, after)
        return after
    inner = node.parts[0]
    if node.high is None:
        again = made.add()
        made.free[again] = [_compiled(made, inner, again), after]
        after = again
    for _ in range(0 if node.high is None else node.high - node.low):
        after = made.add(free=[_compiled(made, inner, after), after])
    for _ in range(node.low):
        after = _compiled(made, inner, after)
    return after


@lru_cache(maxsize=4_096)
def automaton(pattern: str) -> Automaton:
    """The automaton of the values that `pattern` matches whole. Raises Unclear. Do not change it."""
    made = Automaton()
    made.final = made.add()
    made.start = _compiled(made, _Parser(pattern).whole(), made.final)
    return made
