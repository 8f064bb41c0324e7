"""Matchers of one host's routes: exact paths, then prefixes from the longest, then regexes.

Each falls through where its path or its further conditions are not met. Paths are looked up in trees, so that
their number costs nothing; only paths in any case and regexes are tried one after the other. They are matched
in `:path`, in which a path ends at its own end or at the query's question mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xds.type.matcher.v3 import string_pb2

from controlplane.model.documents import PathMatch
from controlplane.plan.conditions import PATH_HEADER
from controlplane.translate import matching
from controlplane.translate.matching import Matcher, OnMatch, Predicate


@dataclass(frozen=True, slots=True)
class Entry:
    """What to do at a path; `guard` is what else the request must meet."""

    path: PathMatch
    guard: Predicate | None
    action: OnMatch


class _Tree:
    """By path: what to try there, in order. A tree of prefixes tries the longest first, then shorter ones."""

    def __init__(self) -> None:
        self.found: dict[str, list[tuple[Predicate, OnMatch]]] = {}
        self._taken: set[PathMatch] = set()

    def add(self, entry: Entry) -> None:
        """Nothing comes after an equal path that has no guard."""
        if entry.path in self._taken:
            return
        if entry.guard is None:
            self._taken.add(entry.path)
        path = entry.path.exact or entry.path.prefix or "/"
        self.found.setdefault(path, []).append((_predicate(entry), entry.action))

    def matcher(self) -> Matcher:
        return matching.prefix_tree(
            ":path", {path: matching.nested(matching.in_order(tried)) for path, tried in self.found.items()}
        )


def matchers(entries: Sequence[Entry]) -> list[Matcher]:
    """Matchers to try in order. `entries` are in order of precedence, so the first of equals wins."""
    exact = _Tree()
    any_case = any(e.path.ignore_case for e in entries)
    found: list[Matcher] = []
    # Where no path is in any case, prefixes share the tree of exact paths: one look-up.
    run = _Tree() if any_case else exact
    listed: list[tuple[Predicate, OnMatch]] = []

    def close() -> None:
        nonlocal run
        if run.found and run is not exact:
            found.append(run.matcher())
        run = _Tree()

    for entry in entries:
        if entry.path.exact is not None and not entry.path.ignore_case:
            exact.add(entry)
        elif entry.path.prefix is not None and not entry.path.ignore_case:
            _flush(listed, found)
            run.add(entry)
        else:
            close()
            listed.append((_predicate(entry), entry.action))
    close()
    _flush(listed, found)
    if exact.found:
        found.insert(0, exact.matcher())
    return found


def _flush(listed: list[tuple[Predicate, OnMatch]], found: list[Matcher]) -> None:
    if listed:
        found.append(matching.in_order(listed))
        listed.clear()


def _predicate(entry: Entry) -> Predicate:
    path = entry.path
    if path.regex is not None:
        predicate = _regex(path.regex)
    elif path.exact is not None:
        predicate = matching.any_of(_ends(path.exact, bool(path.ignore_case)))
    else:
        prefix, any_case = path.prefix or "/", bool(path.ignore_case)
        parts = [_starts(prefix if prefix.endswith("/") else f"{prefix}/", any_case)]
        if not prefix.endswith("/"):
            parts += _ends(prefix, any_case)
        predicate = matching.any_of(parts)
    return matching.all_of([predicate, entry.guard]) if entry.guard is not None else predicate


def _starts(prefix: str, any_case: bool) -> Predicate:
    return matching.single(":path", string_pb2.StringMatcher(prefix=prefix, ignore_case=any_case))


def _ends(path: str, any_case: bool) -> list[Predicate]:
    """`:path` is `path`, whatever its query is: one of these."""
    whole = string_pb2.StringMatcher(exact=path, ignore_case=any_case)
    return [matching.single(":path", whole), _starts(f"{path}?", any_case)]


def _regex(regex: str) -> Predicate:
    """Where there is a query, Lua has put the path without it into PATH_HEADER."""
    pattern = matching.regex(regex)
    bare = [matching.single(":path", pattern), matching.negated(matching.contains(":path", "?"))]
    return matching.any_of([matching.single(PATH_HEADER, pattern), matching.all_of(bare)])
