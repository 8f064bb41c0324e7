"""Revisions: the effect of a change, as text for people and as values from which it can be undone. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

import yaml

from controlplane.model.definitions import AnyKind, Definitions, Key, key_of
from controlplane.model.export import DUMPER, shown
from controlplane.model.kinds import KINDS
from controlplane.model.older import updated
from controlplane.model.parsing import Parsed, parse_document
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.interface import Change, Revision, Transform

REVISIONS_KEPT = 1000
BYTES_KEPT = 64 << 20
DIFF_LIMIT = 20_000


def changes_between(old: Definitions, new: Definitions) -> tuple[Change, ...]:
    """The documents in which `old` and `new` differ; slots that move count as a change of their lane."""
    before = {key_of(document): document for document in old.documents()}
    after = {key_of(document): document for document in new.documents()}
    changes = []
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key), after.get(key)
        if one is other and (one is None or old.status_of(one) == new.status_of(one)):
            continue
        found = Change(key, _shown(old, one), _shown(new, other))
        if found.before != found.after:
            changes.append(found)
    return tuple(changes)


def _shown(definitions: Definitions, document: AnyKind | None) -> dict[str, Any] | None:
    return None if document is None else shown(definitions, document)


def diff_of(changes: tuple[Change, ...]) -> str:
    """The changes as a unified diff of YAML, at most DIFF_LIMIT characters."""
    parts: list[str] = []
    size = 0
    for change in changes:
        lines = difflib.unified_diff(
            _lines(change.before),
            _lines(change.after),
            "/dev/null" if change.before is None else str(change.key),
            "/dev/null" if change.after is None else str(change.key),
            n=2,
            lineterm="",
        )
        text = "\n".join(lines) + "\n"
        parts.append(text)
        size += len(text)
        if size > DIFF_LIMIT:
            return "".join(parts)[:DIFF_LIMIT] + f"\n… {len(changes)} definitions changed in all\n"
    return "".join(parts)


def _lines(value: dict[str, Any] | None) -> list[str]:
    if value is None:
        return []
    if not value.get("status"):
        value = _without_status(value)
    return yaml.dump(value, Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=10_000).splitlines()


def encode_changes(changes: tuple[Change, ...]) -> str:
    """`changes` as JSON text, for `decode_changes`."""
    return json.dumps(
        [[*change.key, change.before, change.after] for change in changes], separators=(",", ":")
    )


def decode_changes(text: str) -> tuple[Change, ...]:
    """The changes of a text of `encode_changes`. Raises ValueError, TypeError or AttributeError for
    another.
    """
    return tuple(
        Change(Key(kind, parent, name), before, after)
        for kind, parent, name, before, after in json.loads(text)
    )


def undoing(revision: Revision | None, number: int) -> Transform:
    """The change that undoes `revision`, whose number is `number`. Raises DefinitionError 404 if it is None.

    The change itself raises DefinitionError 409 where later revisions prevent it.
    """
    if revision is None:
        wrong = Problem(
            "revision",
            "does not exist or is no longer kept",
            number,
            "see `laneway history`, or /v1/revisions",
        )
        raise DefinitionError(404, f"Revision {number} {wrong.message}", [wrong])

    def transform(definitions: Definitions) -> Definitions:
        puts: list[Parsed] = []
        deletes: list[Key] = []
        conflicts: list[Problem] = []
        for one in revision.changes:
            document = definitions.get(one.key)
            now = None if document is None else document.model_dump(mode="json")
            if now != _without_status(updated(one.after)):
                message = f"was changed again after revision {number}"
                conflicts.append(Problem("", message, None, "undo the later changes first", str(one.key)))
            elif one.before is None:
                deletes.append(one.key)
            else:
                puts.append(_whole(parse_document(updated(one.before))))
        if conflicts:
            raise DefinitionError(
                409,
                f"Revision {number} cannot be undone: {conflicts[0].document} {conflicts[0].message}",
                conflicts,
            )
        try:
            return definitions.change(puts, topmost(deletes))
        except DefinitionError as error:
            raise DefinitionError(
                409, f"Revision {number} cannot be undone: {error.title}", error.problems
            ) from error

    return transform


def restoring(revisions: Sequence[Revision], number: int) -> Transform:
    """The change that brings every definition to what it was after the revision `number`.

    revisions: the kept ones, the newest first. Raises DefinitionError 404 where one that came after `number`
    is not kept, or not with its content. The change itself raises DefinitionError 409 where a definition is
    not as these revisions left it, or where the result breaks a rule of today.
    """
    later = [one for one in revisions if one.number > number]
    newest = revisions[0].number if revisions else 0
    whole = len(later) == newest - number and all(one.changes for one in later)
    if not 0 <= number <= newest or not whole:
        wrong = Problem("revision", "does not exist or is no longer kept", number, "see /v1/revisions")
        raise DefinitionError(404, f"Revision {number} {wrong.message}", [wrong])

    def transform(definitions: Definitions) -> Definitions:
        left: dict[Key, Any] = {}
        wanted: dict[Key, Any] = {}
        for revision in later:
            for one in revision.changes:
                left.setdefault(one.key, one.after)
                wanted[one.key] = one.before
        conflicts: list[Problem] = []
        for key, after in left.items():
            document = definitions.get(key)
            now = None if document is None else document.model_dump(mode="json")
            if now != _without_status(updated(after)):
                message = f"was changed again after revision {newest}"
                conflicts.append(Problem("", message, None, "look at the history, and try again", str(key)))
        if conflicts:
            raise DefinitionError(
                409, f"Revision {number} cannot be restored: {conflicts[0].message}", conflicts
            )
        puts = [_whole(parse_document(updated(value))) for value in wanted.values() if value is not None]
        gone = [key for key, value in wanted.items() if value is None and definitions.get(key) is not None]
        try:
            return definitions.change(puts, gone)
        except DefinitionError as error:
            raise DefinitionError(
                409, f"Revision {number} cannot be restored: {error.title}", error.problems
            ) from error

    return transform


def _whole(parsed: Parsed) -> Parsed:
    """The document with every field given: what it left out then is not kept as it is now."""
    document, slots = parsed
    kept = {name: getattr(document, name) for name in KINDS[document.kind].kept}
    return Parsed(document.model_copy(update=kept), slots)


def _without_status(value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {name: field for name, field in value.items() if name != "status"}


def topmost(deletes: list[Key]) -> list[Key]:
    """Those of `deletes` that are not deleted together with their parent."""
    gone = {(key.kind, key.name) for key in deletes}
    return [key for key in deletes if (KINDS[key.kind].parent, key.parent) not in gone]
