"""From custom resources to definitions: what of them is accepted, and why the rest is not. Pure.

An object that is not accepted stops no other: what was accepted of it last stays in force. One is judged
again whenever another changes, because what it needs may have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controlplane.model.definitions import Definitions, Key
from controlplane.model.kinds import children_of
from controlplane.model.parsing import Parsed
from controlplane.model.problems import DefinitionError
from controlplane.store.history import topmost
from controlplane.store.interface import Stored
from controlplane.store.kubernetes.head import Head, Record
from controlplane.store.kubernetes.patches import merged
from controlplane.store.kubernetes.resources import CustomObject, Json, Ref

Objects = Mapping[Ref, CustomObject]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a generation of an object is accepted. `reason` is a word for programs."""

    generation: int
    accepted: bool
    reason: str = "Accepted"
    message: str = ""


@dataclass(frozen=True)
class Taken:
    """The head after taking the objects; its version is that of before.

    kept: definitions whose objects were deleted and which stay in force, with the reason.
    """

    head: Head
    verdicts: Mapping[Ref, Verdict]
    kept: Mapping[Key, str] = field(default_factory=dict[Key, str])


@dataclass
class _Work:
    puts: dict[Ref, Parsed] = field(default_factory=dict[Ref, Parsed])
    moved: dict[Ref, Key] = field(default_factory=dict[Ref, Key])
    gone: dict[Key, Ref] = field(default_factory=dict[Key, Ref])
    verdicts: dict[Ref, Verdict] = field(default_factory=dict[Ref, Verdict])
    kept: dict[Key, str] = field(default_factory=dict[Key, str])

    def deletes(self) -> list[Key]:
        return topmost([*self.gone, *(self.moved[ref] for ref in self.puts if ref in self.moved)])

    def refuse(self, found: CustomObject, error: DefinitionError) -> None:
        self.puts.pop(found.ref, None)
        self.verdicts[found.ref] = _refusal(found, error)


def take(
    head: Head, objects: Objects, at: float, denied: Mapping[str, DefinitionError] | None = None
) -> Taken:
    """The definitions after everything in `objects` that can be accepted. `at`: seconds since the epoch.

    denied: by `Kind/name`, what other checks than those of the model refuse.
    """
    pending = {ref: patch for ref, patch in head.pending.items() if not _written(ref, patch, head, objects)}
    work = _sorted_out(head, objects, pending, denied or {})
    before = head.stored.definitions.judged_at(at)
    dropped: dict[Ref, Parsed] = {}
    after = before
    while work.puts or work.gone:
        try:
            after = before.change(work.puts.values(), work.deletes())
            break
        except DefinitionError as error:
            if not _blame(work, objects, error, dropped):
                dropped |= work.puts
                work.kept |= dict.fromkeys(work.gone, error.title)
                work.puts, work.gone = {}, {}
    after = _one_by_one(work, objects, dropped, after)
    records = {ref: one for ref, one in head.records.items() if ref in objects or ref in pending}
    records |= {ref: one for ref, one in head.records.items() if one.key in work.kept}
    for ref, verdict in work.verdicts.items():
        if verdict.accepted:
            found = objects[ref]
            records[ref] = Record(found.uid, found.generation, found.key)
    stored = head.stored
    if after != stored.definitions:
        stored = Stored(after, stored.revision + 1)
    return Taken(replace(head, stored=stored, records=records, pending=pending), work.verdicts, work.kept)


def unjudged(head: Head, objects: Objects, keys: set[Key]) -> bool:
    """Whether an object of one of these definitions says something else than the definition, and is newer."""
    for ref, record in head.records.items():
        found = objects.get(ref)
        if record.key not in keys or found is None or ref in head.pending:
            continue
        if (record.uid, record.generation) == (found.uid, found.generation):
            continue
        try:
            document, _ = found.parsed()
        except DefinitionError:
            continue
        if document != head.stored.definitions.get(record.key):
            return True
    return False


def _written(ref: Ref, patch: Json | None, head: Head, objects: Objects) -> bool:
    """Whether what was to be written into an object is in it, or has no object any more."""
    found, record = objects.get(ref), head.records.get(ref)
    if patch is None:
        return found is None or (record is not None and found.uid != record.uid)
    if found is None:
        return record is not None  # somebody deleted it meanwhile
    return merged(found.spec, patch) == found.spec


def _sorted_out(
    head: Head, objects: Objects, pending: Mapping[Ref, Json | None], denied: Mapping[str, DefinitionError]
) -> _Work:
    """What has to be judged. Of several objects that define the same, the oldest counts."""
    work = _Work()
    claimed: dict[Key, Ref] = {head.records[ref].key: ref for ref in pending if ref in head.records}
    for found in sorted(objects.values(), key=lambda one: (one.created, one.ref)):
        ref, key, record = found.ref, found.key, head.records.get(found.ref)
        if ref in pending:
            continue
        if (other := claimed.setdefault(key, ref)) != ref:
            message = f"{key} is defined by {other} already: delete one of them, or give another name"
            work.verdicts[ref] = Verdict(found.generation, False, "Duplicate", message)
            continue
        if record is not None and record.uid == found.uid and record.generation >= found.generation:
            work.verdicts[ref] = Verdict(found.generation, True)
            continue
        if record is not None and record.key != key:
            work.moved[ref] = record.key
        try:
            parsed = found.parsed(slots=not head.version)
            if (wrong := denied.get(str(key))) is not None:
                raise wrong
            work.puts[ref] = parsed
        except DefinitionError as error:
            work.verdicts[ref] = _refusal(found, error)
    present = {*claimed, *work.moved.values()}
    for ref, record in head.records.items():
        if record.key not in present and ref not in pending:
            work.gone[record.key] = ref
    # An old name that another object has by now is not deleted.
    work.moved = {ref: key for ref, key in work.moved.items() if key not in claimed}
    _keep_parents(head.stored.definitions, work)
    return work


def _keep_parents(definitions: Definitions, work: _Work) -> None:
    """What is deleted while others belong to it stays until they are gone: an object cannot be refused its
    end, and proxies should not lose what others still ask for.
    """
    work.gone = {key: ref for key, ref in work.gone.items() if definitions.get(key) is not None}
    for key in list(work.gone):
        children = [
            child
            for kind in children_of(key.kind)
            for child in definitions.table(kind)
            if child.parent == key.name and child not in work.gone
        ]
        if children:
            del work.gone[key]
            work.kept[key] = f"{children[0]} belongs to it"


def _blame(work: _Work, objects: Objects, error: DefinitionError, dropped: dict[Ref, Parsed]) -> bool:
    """Take out what a refusal names. False if that is nothing."""
    named = {one.document: one for one in error.problems if one.document}
    found = False
    for ref, parsed in list(work.puts.items()):
        label = str(objects[ref].key)
        if label in named:
            found = True
            dropped[ref] = parsed
            work.refuse(objects[ref], DefinitionError(error.status, "", [named[label]]))
    for key in list(work.gone):
        if str(key) in named:
            found = True
            del work.gone[key]
            work.kept[key] = named[str(key)].message
    return found


def _one_by_one(
    work: _Work, objects: Objects, dropped: Mapping[Ref, Parsed], definitions: Definitions
) -> Definitions:
    """What was refused with others is tried alone, as long as any is accepted."""
    waiting = dict(dropped)
    while waiting:
        accepted: list[Ref] = []
        for ref, parsed in waiting.items():
            old = [work.moved[ref]] if ref in work.moved else []
            try:
                definitions = definitions.change([parsed], old)
                accepted.append(ref)
                work.puts[ref] = parsed
                work.verdicts.pop(ref, None)
            except DefinitionError as error:
                work.verdicts[ref] = _refusal(objects[ref], error)
        if not accepted:
            break
        for ref in accepted:
            del waiting[ref]
    for ref in work.puts:
        work.verdicts[ref] = Verdict(objects[ref].generation, True)
    return definitions


def _refusal(found: CustomObject, error: DefinitionError) -> Verdict:
    lines = [
        "; ".join(part for part in (" ".join(p for p in (one.field, one.message) if p), one.remedy) if part)
        for one in error.problems[:5]
    ]
    reason = {409: "Conflict", 413: "TooLarge"}.get(error.status, "Invalid")
    return Verdict(found.generation, False, reason, "\n".join(lines) or error.title)
