"""All definitions at one moment: an immutable value, and the changes that lead to the next one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from controlplane.model.documents import KINDS, Application, Gateway, Lane, LaneGroup, Route
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.slots import SlotRange

__all__ = ["Applied", "Definitions", "GivenSlots", "Key", "SlotRange", "key_of"]

AnyKind = Gateway | Route | Application | LaneGroup | Lane
GivenSlots = Mapping[str, tuple[tuple[int, int], ...]]
"""What a document's `status.slots` says: by base route, ranges of (start, end), end exclusive."""


class Key(NamedTuple):
    """What identifies a document. `parent` is the gateway of a route and the group of a lane, else empty."""

    kind: str
    parent: str
    name: str

    def __str__(self) -> str:
        """`Kind/name`, as `apply` answers and users read it."""
        return f"{self.kind}/{self.name}"


def key_of(document: AnyKind) -> Key:
    """The key of `document`."""
    if isinstance(document, Route):
        return Key("Route", document.gateway, document.name)
    if isinstance(document, Lane):
        return Key("Lane", document.group, document.name)
    return Key(document.kind, "", document.name)


@dataclass(frozen=True)
class Applied:
    """The result of a change of many documents: the next definitions, and `kind/name` of what happened."""

    definitions: Definitions
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def _empty() -> Mapping:
    return MappingProxyType({})


@dataclass(frozen=True)
class Definitions:
    """Every mapping is read-only and never changed after it was built."""

    gateways: Mapping[str, Gateway] = field(default_factory=_empty)
    routes: Mapping[tuple[str, str], Route] = field(default_factory=_empty)  # (gateway, name)
    applications: Mapping[str, Application] = field(default_factory=_empty)
    groups: Mapping[str, LaneGroup] = field(default_factory=_empty)
    lanes: Mapping[str, Lane] = field(default_factory=_empty)  # names are unique in the control plane
    slots: Mapping[tuple[str, str], tuple[SlotRange, ...]] = field(default_factory=_empty)  # sorted by start

    def documents(self) -> Iterator[AnyKind]:
        """Every document: by kind in the order of KINDS, then by parent and name."""
        yield from (self.gateways[name] for name in sorted(self.gateways))
        yield from (self.routes[key] for key in sorted(self.routes))
        yield from (self.applications[name] for name in sorted(self.applications))
        yield from (self.groups[name] for name in sorted(self.groups))
        yield from sorted(self.lanes.values(), key=lambda lane: (lane.group, lane.name))

    def get(self, key: Key) -> AnyKind | None:
        """The document of `key`, None if there is none."""
        if key.kind == "Route":
            return self.routes.get((key.parent, key.name))
        if key.kind == "Lane":
            lane = self.lanes.get(key.name)
            return lane if lane is not None and lane.group == key.parent else None
        tables: dict[str, Mapping[str, Any]] = {
            "Gateway": self.gateways,
            "Application": self.applications,
            "LaneGroup": self.groups,
        }
        return tables[key.kind].get(key.name)

    def slots_of(self, lane: str) -> dict[str, list[list[int]]]:
        """The lane's slots by base route, as `status.slots` shows them: [start, end], end exclusive.

        Not to be changed: it is made once for all lanes.
        """
        return self._slots_by_lane.get(lane, {})

    @cached_property
    def _slots_by_lane(self) -> dict[str, dict[str, list[list[int]]]]:
        found: dict[str, dict[str, list[list[int]]]] = {}
        for (_, route), table in sorted(self.slots.items()):
            for start, end, lane in table:
                found.setdefault(lane, {}).setdefault(route, []).append([start, end])
        return found

    def status_of(self, document: AnyKind) -> dict[str, Any]:
        """What the control plane adds to a document, as its `status`."""
        if isinstance(document, Lane) and document.ratio is not None:
            return {"slots": self.slots_of(document.name)}
        return {}

    def put(self, document: AnyKind, slots: GivenSlots | None = None) -> Definitions:
        """The definitions with `document` in place of what had its key. Raises DefinitionError (409, 422)."""
        return self.change([(document, slots)])

    def delete(self, kind: str, key: str | tuple[str, str]) -> Definitions:
        """The definitions without the document, and without what belongs to it (a gateway's routes, a group's
        lanes). `key` is the name, for a Route (gateway, name), for a Lane its name or (group, name).

        Raises DefinitionError: 404 if it is absent, 409 if something refers to it.
        """
        if isinstance(key, tuple):
            parent, name = key
        else:
            lane = self.lanes.get(key) if kind == "Lane" else None
            parent, name = lane.group if lane else "", key
        return self.change([], [Key(kind, parent, name)])

    def apply(self, documents: Iterable[tuple[AnyKind, GivenSlots | None]]) -> Applied:
        """All of `documents` in any order, or none. Raises DefinitionError (409, 422)."""
        puts = list(documents)
        seen: set[Key] = set()
        twice = []
        for document, _ in puts:
            if (key := key_of(document)) in seen:
                twice.append(Problem("name", "is given twice", document.name, "leave one out", str(key)))
            seen.add(key)
        if twice:
            raise DefinitionError(422, "The same definition is given twice", twice)
        result = self.change(puts)
        created, changed, unchanged = [], [], []
        for document, _ in puts:
            key = key_of(document)
            before = self.get(key)
            same = before == document and self.status_of(document) == result.status_of(document)
            (created if before is None else unchanged if same else changed).append(str(key))
        return Applied(result, tuple(created), tuple(changed), tuple(unchanged))

    def change(
        self, puts: Iterable[tuple[AnyKind, GivenSlots | None]], deletes: Iterable[Key] = ()
    ) -> Definitions:
        """Deletes, then puts, in one step. `slots` restore those of lanes that have none.

        Raises DefinitionError and changes nothing if the result would break a rule.
        """
        from controlplane.model.rules import changed  # rules read Definitions: the cycle is broken here

        return changed(self, list(puts), list(deletes))


assert list(KINDS) == ["Gateway", "Route", "Application", "LaneGroup", "Lane"], (
    "documents() follows this order"
)
