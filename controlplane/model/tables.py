"""The documents at one moment, by kind and key, with the slots of ratio lanes: an immutable value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from controlplane.model.documents import Application, Gateway, Lane, LaneGroup, Route
from controlplane.model.kinds import KINDS, AnyKind, Key, key_of
from controlplane.model.slots import SlotRange

T = TypeVar("T")
Self = TypeVar("Self", bound="Tables")
Table = Mapping[Key, AnyKind]
GivenSlots = Mapping[str, tuple[tuple[int, int], ...]]
"""What a document's `status.slots` says: by base route, ranges of (start, end), end exclusive."""


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Tables:
    """Every mapping is read-only and never changed after it was built.

    tables: the documents by kind and key; a kind without documents has no table.
    slots: by (gateway, base route), sorted by start.
    at: the time at which changes are judged, in seconds since the epoch. It is no part of the value.
    """

    tables: Mapping[str, Table] = field(default_factory=_empty)
    slots: Mapping[tuple[str, str], tuple[SlotRange, ...]] = field(default_factory=_empty)
    at: float = field(default=0.0, compare=False)

    @classmethod
    def of(
        cls: type[Self],
        documents: Iterable[AnyKind],
        slots: Mapping[tuple[str, str], tuple[SlotRange, ...]] | None = None,
    ) -> Self:
        """Build from parts that were checked before; they are not checked again."""
        tables: dict[str, dict[Key, AnyKind]] = {}
        for document in documents:
            tables.setdefault(document.kind, {})[key_of(document)] = document
        frozen = {kind: MappingProxyType(table) for kind, table in tables.items()}
        return cls(MappingProxyType(frozen), MappingProxyType(dict(slots or {})))

    def table(self, kind: str) -> Table:
        """The documents of one kind."""
        return self.tables.get(kind, _empty())

    def documents(self) -> Iterator[AnyKind]:
        """Every document: by kind in the order of KINDS, then by parent and name."""
        for kind in KINDS:
            table = self.table(kind)
            yield from (table[key] for key in sorted(table))

    def get(self, key: Key) -> AnyKind | None:
        """The document of `key`, None if there is none."""
        return self.table(key.kind).get(key)

    def _named(self, of: type[T]) -> Mapping[str, T]:
        found = self.table(of.__name__)
        return MappingProxyType({key.name: one for key, one in found.items() if isinstance(one, of)})

    @cached_property
    def gateways(self) -> Mapping[str, Gateway]:
        """By name."""
        return self._named(Gateway)

    @cached_property
    def routes(self) -> Mapping[tuple[str, str], Route]:
        """By (gateway, name)."""
        found = self.table("Route")
        return MappingProxyType(
            {(key.parent, key.name): one for key, one in found.items() if isinstance(one, Route)}
        )

    @cached_property
    def applications(self) -> Mapping[str, Application]:
        """By name."""
        return self._named(Application)

    @cached_property
    def groups(self) -> Mapping[str, LaneGroup]:
        """By name."""
        return self._named(LaneGroup)

    @cached_property
    def lanes(self) -> Mapping[str, Lane]:
        """By name, which is unique in the control plane."""
        return self._named(Lane)

    def slots_of(self, lane: str) -> dict[str, list[list[int]]]:
        """The lane's slots by base route, as `status.slots` shows them: [start, end], end exclusive.

        Do not change it: one value is shared by all lanes.
        """
        return self._slots_by_lane.get(lane, {})

    @cached_property
    def _slots_by_lane(self) -> dict[str, dict[str, list[list[int]]]]:
        found: dict[str, dict[str, list[list[int]]]] = {}
        for (_, route), table in sorted(self.slots.items()):
            for start, end, lane in table:
                found.setdefault(lane, {}).setdefault(route, []).append([start, end])
        return found
