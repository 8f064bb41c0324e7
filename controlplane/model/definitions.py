"""All definitions at one moment: an immutable value, and the changes that lead to the next one.

A change is a number of deletes and puts in one step, and its result is checked as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from controlplane.model import rules
from controlplane.model.documents import Lane, Ratio
from controlplane.model.kinds import KINDS, AnyKind, Key, children_of, key_of
from controlplane.model.problems import DefinitionError, Problem
from controlplane.model.releases import Release
from controlplane.model.shares import (
    by_route,
    overlapping_slots,
    slots_after,
    slots_aligned,
    slots_astray,
    wrong_shares,
)
from controlplane.model.slots import SlotRange
from controlplane.model.tables import GivenSlots, Tables

__all__ = ["AnyKind", "Applied", "Definitions", "GivenSlots", "Key", "SlotRange", "key_of"]

Put = tuple[AnyKind, GivenSlots | None]
"""A document, and the slots that its status gives."""


@dataclass(frozen=True)
class Definitions(Tables):
    """See Tables for what it holds."""

    def status_of(self, document: AnyKind) -> dict[str, Any]:
        """What the control plane adds to a document, as its `status`."""
        if not isinstance(document, Lane) or document.ratio is None:
            return {}
        status: dict[str, Any] = {"slots": self.slots_of(document.name)}
        warnings = [*self._astray.get(document.name, ())]
        if document.name in self.released:
            warnings.append("a release moves its shares: what documents say of them is not taken over")
        if warnings:
            status["warnings"] = warnings
        return status

    @cached_property
    def _astray(self) -> dict[str, list[str]]:
        """By ratio lane: routes on which the lane has users that it does not have on routes with larger
        shares.
        """
        return slots_astray(self)

    def aligned(self) -> tuple[Definitions, dict[tuple[str, str], int]]:
        """The definitions with slots by which one user is in one lane on all routes; and by (gateway, route)
        how many of the 10000 slots change their lane, where some do.
        """
        tables, moved = slots_aligned(self)
        return (Definitions(self.tables, tables, self.at) if tables != self.slots else self), moved

    def judged_at(self, at: float) -> Definitions:
        """The same definitions, whose changes are judged at the time `at`: whether shares count depends on
        it.
        """
        return Definitions(self.tables, self.slots, at)

    def put(self, document: AnyKind, slots: GivenSlots | None = None) -> Definitions:
        """The definitions after putting `document`. Raises DefinitionError (409, 422)."""
        return self.change([(document, slots)])

    def delete(self, kind: str, key: str | tuple[str, str]) -> Definitions:
        """The definitions without the document and what lives under it (a gateway's routes, a group's
        lanes). `key` is the name, for a Route (gateway, name), for a Lane its name or (group, name).

        Raises DefinitionError: 404 if it is absent, 409 if something refers to it.
        """
        if isinstance(key, tuple):
            parent, name = key
        else:
            lane = self.lanes.get(key) if kind == "Lane" else None
            parent, name = lane.group if lane else "", key
        return self.change([], [Key(kind, parent, name)])

    def apply(self, documents: Iterable[Put], prune: Iterable[Key] = ()) -> Applied:
        """All of `documents` in any order, or none. Raises DefinitionError (409, 422).

        prune: gateways and lane groups. What is under them and not in `documents` is deleted: routes, groups
        and lanes of a gateway, lanes of a group.
        """
        given = list(documents)
        puts = self._completed(given)
        seen: set[Key] = set()
        twice: list[Problem] = []
        for document, _ in puts:
            if (key := key_of(document)) in seen:
                twice.append(Problem("name", "is given twice", document.name, "leave one out", str(key)))
            seen.add(key)
        if twice:
            raise DefinitionError(422, "The same definition is given twice", twice)
        gone = [key for key in self.under(prune) if key not in seen]
        result = self.change(puts, gone)
        created: list[str] = []
        changed: list[str] = []
        unchanged: list[str] = []
        for document, _ in puts:
            key = key_of(document)
            old = self.get(key)
            same = old == document and self.status_of(document) == result.status_of(document)
            (created if old is None else unchanged if same else changed).append(str(key))
        kept = tuple(note for document, _ in given for note in self._notes(document))
        deleted = tuple(str(key) for key in gone)
        return Applied(result, tuple(created), tuple(changed), tuple(unchanged), kept, deleted)

    def under(self, parents: Iterable[Key]) -> list[Key]:
        """What is under gateways and lane groups: routes, groups and lanes, in the order of their keys."""
        within = set(parents)
        groups = {
            Key("LaneGroup", "", one.name)
            for one in self.groups.values()
            if Key("Gateway", "", one.gateway) in within
        }
        owners = within | groups
        found = [
            key
            for kind in ("Route", "Lane")
            for key in self.table(kind)
            if Key(KINDS[kind].parent, "", key.parent) in owners
        ]
        return sorted([*groups, *found])

    def _notes(self, document: AnyKind) -> Iterable[Kept]:
        """What a document leaves as it is stored, where that differs from what a new one would have."""
        old = self.get(key_of(document))
        if isinstance(document, Lane) and isinstance(old, Lane):
            yield from self._left_to_release(document, old)
        for name in kept_fields(document) if old is not None else ():
            value = getattr(old, name)
            if value != KINDS[document.kind].model.model_fields[name].default:
                yield Kept(str(key_of(document)), name, value)

    def _left_to_release(self, lane: Lane, old: Lane) -> Iterable[Kept]:
        same = lane.ratio is None or old.ratio is None or _shares(lane.ratio) == _shares(old.ratio)
        if lane.name in self.released and not same and old.ratio is not None:
            yield Kept(str(key_of(lane)), "ratio.percent", old.ratio.percent)

    def change(self, puts: Iterable[Put], deletes: Iterable[Key] = ()) -> Definitions:
        """Deletes, then puts, in one step. The slots of a put restore a lane that has no slots. A field that
        the kind keeps, such as `enabled`, stays as it is stored where the document does not give it.

        Raises DefinitionError and changes nothing if the result would break a rule.
        """
        return self._changed(self._completed(puts), list(deletes))

    def proceed(self, documents: Iterable[AnyKind]) -> Definitions:
        """As `change`, for a release, which alone moves its lane's shares and its own progress."""
        return self._changed([(document, None) for document in documents], [])

    def _changed(self, given_puts: list[Put], gone: list[Key]) -> Definitions:
        draft = Definitions(MappingProxyType(_tables(self, given_puts, gone)), at=self.at)
        touched = {key_of(document) for document, _ in given_puts}
        _refuse(409, rules.conflicts(self, draft, touched))
        _refuse(409, rules.under_way(self, draft, set(gone)))
        _refuse(409, rules.dangling(draft, set(gone)))
        _refuse(422, rules.references(draft))
        shares = by_route(draft)
        _refuse(
            422,
            [*rules.modes(draft, touched), *rules.conditions(draft), *wrong_shares(draft, shares, touched)],
        )
        given = {one.name: ranges for one, ranges in given_puts if isinstance(one, Lane) and ranges}
        _refuse(422, overlapping_slots(self, draft, shares, given))
        return Definitions(draft.tables, slots_after(self, shares, given), self.at)

    def _completed(self, puts: Iterable[Put]) -> list[Put]:
        """The puts, with the fields that a stored document keeps where the new one does not give them."""
        return [(self._kept(document), slots) for document, slots in puts]

    def _kept(self, document: AnyKind) -> AnyKind:
        old = self.get(key_of(document))
        if old is None:
            return document
        kept = [*KINDS[document.kind].written, *kept_fields(document)]
        if kept:
            document = document.model_copy(update={x: getattr(old, x) for x in kept})
        if isinstance(document, Lane) and isinstance(old, Lane) and document.name in self.released:
            return _with_shares_of(document, old)
        return document

    @cached_property
    def released(self) -> frozenset[str]:
        """The lanes whose shares a release moves now."""
        every = self.table("Release").values()
        return frozenset(one.lane for one in every if isinstance(one, Release) and one.unfinished)


def kept_fields(document: AnyKind) -> list[str]:
    """The fields that `document` leaves as they are stored."""
    given = document.model_fields_set
    return list(itertools.takewhile(lambda name: name not in given, KINDS[document.kind].kept))


class Kept(NamedTuple):
    """A field of a stored document that an applied one does not give, and that stays as it is."""

    document: str
    field: str
    value: Any


@dataclass(frozen=True)
class Applied:
    """The result of a change of many documents: the next definitions, and `kind/name` of what happened."""

    definitions: Definitions
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    deleted: tuple[str, ...] = ()


def _shares(ratio: Ratio) -> tuple[float, dict[str, float]]:
    return ratio.percent, dict(ratio.routes)


def _with_shares_of(lane: Lane, old: Lane) -> Lane:
    if lane.ratio is None or old.ratio is None:
        return lane
    shares = {"percent": old.ratio.percent, "routes": old.ratio.routes}
    return lane.model_copy(update={"ratio": lane.ratio.model_copy(update=shares)})


def _tables(
    before: Tables, puts: Sequence[Put], deletes: Sequence[Key]
) -> dict[str, MappingProxyType[Key, AnyKind]]:
    tables = {kind: dict(table) for kind, table in before.tables.items()}
    for key in deletes:
        if before.get(key) is None:
            raise DefinitionError(
                404,
                f"There is no {key}",
                [Problem("name", "does not exist", key.name, "list what there is")],
            )
        tables[key.kind].pop(key, None)
        for kind in children_of(key.kind):
            for child in [one for one in tables.get(kind, ()) if one.parent == key.name]:
                del tables[kind][child]
    for document, _ in puts:
        tables.setdefault(document.kind, {})[key_of(document)] = document
    return {kind: MappingProxyType(table) for kind, table in tables.items() if table}


def _refuse(status: int, problems: Iterable[Problem]) -> None:
    """Raise DefinitionError if there are problems."""
    found = list(problems)
    if found:
        first = found[0]
        title = f"{first.document}: {first.field} {first.message}".replace(":  ", ": ")
        raise DefinitionError(status, title, found)
