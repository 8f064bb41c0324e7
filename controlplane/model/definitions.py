"""All definitions at one moment: an immutable value, and the changes that lead to the next one.

A change is a number of deletes and puts in one step, and its result is checked as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from controlplane.model import rules
from controlplane.model.documents import Lane
from controlplane.model.kinds import KINDS, AnyKind, Key, children_of, key_of
from controlplane.model.problems import DefinitionError, Problem
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
        if warnings := self._astray.get(document.name):
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
        return (Definitions(self.tables, tables) if tables != self.slots else self), moved

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

    def apply(self, documents: Iterable[Put]) -> Applied:
        """All of `documents` in any order, or none. Raises DefinitionError (409, 422)."""
        puts = self._completed(documents)
        seen: set[Key] = set()
        twice: list[Problem] = []
        for document, _ in puts:
            if (key := key_of(document)) in seen:
                twice.append(Problem("name", "is given twice", document.name, "leave one out", str(key)))
            seen.add(key)
        if twice:
            raise DefinitionError(422, "The same definition is given twice", twice)
        result = self.change(puts)
        created: list[str] = []
        changed: list[str] = []
        unchanged: list[str] = []
        for document, _ in puts:
            key = key_of(document)
            old = self.get(key)
            same = old == document and self.status_of(document) == result.status_of(document)
            (created if old is None else unchanged if same else changed).append(str(key))
        return Applied(result, tuple(created), tuple(changed), tuple(unchanged))

    def change(self, puts: Iterable[Put], deletes: Iterable[Key] = ()) -> Definitions:
        """Deletes, then puts, in one step. The slots of a put restore a lane that has no slots. A field that
        the kind keeps, such as `enabled`, stays as it is stored where the document does not give it.

        Raises DefinitionError and changes nothing if the result would break a rule.
        """
        given_puts, gone = self._completed(puts), list(deletes)
        draft = Definitions(MappingProxyType(_tables(self, given_puts, gone)))
        touched = {key_of(document) for document, _ in given_puts}
        _refuse(409, rules.conflicts(self, draft, touched))
        _refuse(409, rules.dangling(draft, set(gone)))
        _refuse(422, rules.references(draft))
        shares = by_route(draft)
        _refuse(
            422,
            [*rules.modes(draft, touched), *rules.conditions(draft), *wrong_shares(draft, shares, touched)],
        )
        given = {one.name: ranges for one, ranges in given_puts if isinstance(one, Lane) and ranges}
        _refuse(422, overlapping_slots(self, draft, shares, given))
        return Definitions(draft.tables, slots_after(self, shares, given))

    def _completed(self, puts: Iterable[Put]) -> list[Put]:
        """The puts, with the fields that a stored document keeps where the new one does not give them."""
        return [(self._kept(document), slots) for document, slots in puts]

    def _kept(self, document: AnyKind) -> AnyKind:
        kept = set(KINDS[document.kind].kept) - document.model_fields_set
        old = self.get(key_of(document)) if kept else None
        return document if old is None else document.model_copy(update={x: getattr(old, x) for x in kept})


@dataclass(frozen=True)
class Applied:
    """The result of a change of many documents: the next definitions, and `kind/name` of what happened."""

    definitions: Definitions
    created: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


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
