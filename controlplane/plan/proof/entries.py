"""The content lanes of a gateway in the order in which its edges try them, and which match a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from controlplane.plan.gateways import ContentLane, GatewayPlan
from controlplane.plan.proof.affixes import NONE, Affixes, AffixIndex, affixes
from controlplane.plan.proof.atoms import ALIASES, Formula, Literal, of_rule
from controlplane.plan.proof.front import holds, value_in
from controlplane.plan.proof.search import Model


@dataclass(frozen=True, slots=True)
class Entry:
    """An enabled content lane: its group, and the routes on which it may be chosen."""

    lane: ContentLane
    group: str
    routes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The lane's name."""
        return self.lane.name

    def same(self, other: Entry) -> bool:
        """Whether the other matches the same requests; compared by identity, which is cheap."""
        return self.lane.rule is other.lane.rule and self.routes == other.routes


def entries_of(plan: GatewayPlan, groups: Mapping[str, str], priorities: Mapping[str, int]) -> list[Entry]:
    """The content lanes of a plan; `groups` and `priorities` by lane."""
    lanes: dict[str, ContentLane] = {}
    routes: dict[str, list[str]] = {}
    for route in plan.routes:
        for lane in () if route.answers else route.content:
            lanes[lane.name] = lane
            routes.setdefault(lane.name, []).append(route.name)
    order = sorted(lanes, key=lambda name: (priorities[name], name))
    kept: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple for all lanes of the same routes
    found: list[Entry] = []
    for name in order:
        names = tuple(dict.fromkeys(routes[name]))
        found.append(Entry(lanes[name], groups[name], kept.setdefault(names, names)))
    return found


class Index:
    """Finds lanes by the values of a request without looking at all. Ranks are places in `entries`."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.formulas = [of_rule(one.lane.rule) for one in entries]
        self._places = [frozenset(one.routes) for one in entries]
        self._groups: dict[str, set[int]] = {}
        for rank, one in enumerate(entries):
            self._groups.setdefault(one.group, set()).add(rank)
        self._by_value: dict[tuple[str, bytes], list[int]] = {}
        self._by_affixes: dict[str, AffixIndex] = {}
        self._always: list[int] = []
        self._lists = [_lists(formula) for formula in self.formulas]
        self._ends = [_ends(formula) for formula in self.formulas]
        self._known: dict[str, AffixIndex] = {}
        self._unknown: dict[str, set[int]] = {}
        self._listed: dict[str, dict[bytes, set[int]]] = {}
        self._unlisted: dict[str, set[int]] = {}
        for rank, formula in enumerate(self.formulas):
            for literal in formula.literals if formula.any else [min(formula.literals, key=_breadth)]:
                self._enter(rank, literal)
            for name, values in self._lists[rank].items():
                for value in values:
                    self._listed.setdefault(name, {}).setdefault(value, set()).add(rank)
            for name, known in self._ends[rank].items():
                self._known.setdefault(name, AffixIndex()).add(known, rank)
        for name in self._known:
            self._unknown[name] = {rank for rank, ends in enumerate(self._ends) if name not in ends}
        for name in self._listed:
            self._unlisted[name] = {rank for rank, lists in enumerate(self._lists) if name not in lists}

    def _enter(self, rank: int, literal: Literal) -> None:
        atom = literal.atom
        if atom.holds(None):
            self._always.append(rank)
        elif atom.finite is None:
            self._by_affixes.setdefault(atom.name, AffixIndex()).add(_affixes(literal), rank)
        else:
            for value in atom.finite:
                self._by_value.setdefault((atom.name, value), []).append(rank)

    def hits(self, model: Model, route: str) -> Iterator[int]:
        """The ranks of the lanes that match on this route, sorted; mostly the first is enough."""
        found = set(self._always)
        for name in {*model, *ALIASES}:
            value = value_in(model, name)
            if value is not None:
                found.update(self._by_value.get((name, value), ()))
                if name in self._by_affixes:
                    found |= self._by_affixes[name].fit(value)
        return (rank for rank in sorted(found) if self.matches(rank, model, route))

    def matches(self, rank: int, model: Model, route: str) -> bool:
        """Whether the lane may be chosen on this route and its rule is met."""
        return route in self._places[rank] and holds(self.formulas[rank], model)

    def meeting(self, rank: int) -> list[int]:
        """Earlier lanes of other groups, on a common route, that may match requests which this one matches.

        Those that list other values for the same part are left out, and those whose values begin or end
        otherwise.
        """
        me, lists, ends = self.entries[rank], self._lists[rank], self._ends[rank]
        ranks: set[int] | range = range(rank)
        if lists:
            name, values = min(lists.items(), key=lambda item: len(item[1]))
            listed = self._listed.get(name, {})
            ranks = self._unlisted.get(name, set()).union(*(listed.get(value, ()) for value in values))
        for name, known in ends.items():
            ranks = (self._known[name].together(known) | self._unknown[name]).intersection(ranks)
        return [
            one
            for one in sorted(set(ranks) - self._groups[me.group])
            if one < rank
            and not self._places[one].isdisjoint(self._places[rank])
            and not any(
                name in lists and lists[name].isdisjoint(values) for name, values in self._lists[one].items()
            )
        ]


def _breadth(literal: Literal) -> tuple[int, int]:
    """How many requests meet a literal, roughly."""
    if literal.atom.holds(None):
        return 3, 0
    return (2, 0) if literal.atom.finite is None else (1, len(literal.atom.finite))


def _affixes(literal: Literal) -> Affixes:
    pattern = literal.atom.pattern
    return affixes(pattern) if literal.wanted and pattern is not None else NONE


def _ends(formula: Formula) -> dict[str, Affixes]:
    """How the values of a part begin and end that a rule takes, where something is known of that."""
    found: dict[str, Affixes] = {}
    for literal in () if formula.any else formula.literals:
        known = _affixes(literal)
        if known != NONE and not literal.atom.holds(None):
            found.setdefault(literal.atom.name, known)
    return found


def _lists(formula: Formula) -> dict[str, frozenset[bytes]]:
    """The parts for which a rule lists the values that it takes."""
    found: dict[str, frozenset[bytes]] = {}
    for literal in () if formula.any else formula.literals:
        atom = literal.atom
        if atom.finite is not None and not atom.holds(None):
            values = frozenset(atom.finite)
            found[atom.name] = values & found.get(atom.name, values)
    return found
