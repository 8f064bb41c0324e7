"""Matchers of one host's routes: exact paths, then prefixes from the longest, then regexes.

Each falls through where its path or its further conditions are not met. Paths are looked up in trees, so that
their number costs nothing; only paths in any case and regexes are tried one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xds.type.matcher.v3 import string_pb2

from controlplane.model.documents import PathMatch
from controlplane.plan.conditions import PATH_HEADER
from controlplane.translate import matching
from controlplane.translate.matching import OnMatch, Predicate


@dataclass(frozen=True, slots=True)
class Entry:
    """What to do at a path; `guard` is what else the request must meet."""

    path: PathMatch
    guard: Predicate | None
    action: OnMatch


@dataclass(slots=True)
class _Tree:
    """By path: what to try there, in order. Nothing comes after what has no guard."""

    found: dict[str, list[tuple[Predicate | None, OnMatch]]] = field(
        default_factory=dict[str, list[tuple[Predicate | None, OnMatch]]]
    )

    def add(self, path: str, entry: Entry) -> None:
        tried = self.found.setdefault(path, [])
        if not (tried and tried[-1][0] is None):
            tried.append((entry.guard, entry.action))

    def entries(self) -> dict[str, OnMatch]:
        return {path: _tried(tried) for path, tried in self.found.items()}


def _tried(tried: Sequence[tuple[Predicate | None, OnMatch]]) -> OnMatch:
    if len(tried) == 1 and tried[0][0] is None:
        return tried[0][1]
    always = matching.present(PATH_HEADER)
    return matching.nested(matching.in_order([(guard or always, action) for guard, action in tried]))


class _Prefixes:
    """Neighbouring prefixes in their own case: two trees, for the paths that are a prefix and those below."""

    def __init__(self) -> None:
        self.exact = _Tree()
        self.below = _Tree()

    def add(self, entry: Entry) -> None:
        prefix = entry.path.prefix or "/"
        if not prefix.endswith("/"):
            self.exact.add(prefix, entry)
            prefix += "/"
        self.below.add(prefix, entry)


def matchers(entries: Sequence[Entry]) -> list[OnMatch]:
    """Matchers to try in order. `entries` are in order of precedence, so the first of equals wins."""
    exact = _Tree()
    any_case = [e for e in entries if e.path.ignore_case]
    found: list[OnMatch] = []
    # Where no path is in any case, the prefixes' own paths share the tree of exact ones: one look-up.
    run = _Prefixes()
    if not any_case:
        run.exact = exact
    listed: list[tuple[Predicate, OnMatch]] = []

    def close() -> None:
        nonlocal run
        for tree, make in ((run.exact, matching.exact_tree), (run.below, matching.prefix_tree)):
            if tree.found and tree is not exact:
                found.append(matching.nested(make(PATH_HEADER, tree.entries())))
        run = _Prefixes()

    for entry in entries:
        if entry.path.exact is not None and not entry.path.ignore_case:
            exact.add(entry.path.exact, entry)
        elif entry.path.prefix is not None and not entry.path.ignore_case:
            _flush(listed, found)
            run.add(entry)
        else:
            close()
            listed.append((_predicate(entry), entry.action))
    close()
    _flush(listed, found)
    if exact.found:
        found.insert(0, matching.nested(matching.exact_tree(PATH_HEADER, exact.entries())))
    return found


def _flush(listed: list[tuple[Predicate, OnMatch]], found: list[OnMatch]) -> None:
    if listed:
        found.append(matching.nested(matching.in_order(listed)))
        listed.clear()


def _predicate(entry: Entry) -> Predicate:
    path = entry.path
    if path.regex is not None:
        predicate = matching.single(PATH_HEADER, matching.regex(path.regex))
    elif path.exact is not None:
        predicate = matching.single(PATH_HEADER, string_pb2.StringMatcher(exact=path.exact, ignore_case=True))
    else:
        prefix = path.prefix or "/"
        below = string_pb2.StringMatcher(prefix=prefix.rstrip("/") + "/", ignore_case=True)
        parts = [matching.single(PATH_HEADER, below)]
        if not prefix.endswith("/"):
            itself = string_pb2.StringMatcher(exact=prefix, ignore_case=True)
            parts.append(matching.single(PATH_HEADER, itself))
        predicate = matching.any_of(parts)
    return matching.all_of([predicate, entry.guard]) if entry.guard is not None else predicate
