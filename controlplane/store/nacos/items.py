"""Definitions as items of Nacos's configuration service: their values and their text. Pure.

Each definition and each revision is an item of its own, as readable YAML. An item is written once and never
changed: its name ends with a hash of its content, and its content has the name of the attempt that wrote it,
so that no two attempts write the same item. The item INDEX names the items that are valid. It is replaced by
compare and set after all items that it names were written. All other items are garbage, left by attempts that
failed or named by earlier indexes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from controlplane.model.definitions import AnyKind, Definitions, Key, key_of
from controlplane.model.export import DUMPER, document_text
from controlplane.model.kinds import KINDS
from controlplane.model.loading import load_yaml
from controlplane.model.older import updated
from controlplane.model.parsing import Parsed, parse_document
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.history import decode_changes, encode_changes
from controlplane.store.interface import Revision

FORMAT = 1
ALIGNED = 2
"""Of `slots` in an index: how its tables of slots were made; earlier versions wrote none."""
INDEX = "index"
REVISION = "revision"
REVISIONS_KEPT = 200

SIZE_LIMIT = 3_500_000
"""Most bytes of an item. Nacos accepts 10 MB, a MySQL 5.7 behind it 4 MiB by default."""

HASH = 16
_ID = re.compile(rf"[1-9][0-9]*-[0-9a-f]{{{HASH}}}")


class Unreadable(ValueError):
    """An item is not what Laneway wrote. The text says which and why."""


@dataclass(frozen=True)
class Index:
    """The valid items after revision `revision`.

    `documents` has the id of the item of each definition, `revisions` the ids of the items of the revisions
    that are kept, the oldest first. An id is the number of a revision and a hash: `12-0123456789abcdef`.
    aligned: the slots of every definition were made by a version that gives a user one lane on all routes.
    """

    revision: int = 0
    documents: Mapping[Key, str] = field(default_factory=dict)
    revisions: tuple[str, ...] = ()
    aligned: bool = True

    def items(self) -> set[str]:
        """The names of all valid items, the index included."""
        named = {document_item(key, id) for key, id in self.documents.items()}
        return {INDEX, *named, *map(revision_item, self.revisions)}


def document_item(key: Key, id: str) -> str:
    """The name of a definition's item: `Lane:order-flow:gray:12-0123456789abcdef`."""
    return f"{_text_of(key)}:{id}"


def revision_item(id: str) -> str:
    """The name of a revision's item: `revision:12-0123456789abcdef`."""
    return f"{REVISION}:{id}"


def is_ours(item: str) -> bool:
    """Whether Laneway gives such a name to the item of a definition or revision."""
    kind, _, rest = item.partition(":")
    return (kind in KINDS or kind == REVISION) and _ID.fullmatch(rest.rpartition(":")[2]) is not None


def number_of(id: str) -> int:
    """The revision in which the item with this id was written."""
    return int(id.partition("-")[0])


def _text_of(key: Key) -> str:
    return ":".join(part for part in key if part)


def _key(text: str) -> Key:
    kind, *names = text.split(":")
    if kind not in KINDS or len(names) != (2 if KINDS[kind].parent else 1) or not all(names):
        raise Unreadable(f"the index has {text[:200]!r}, which is not the name of a definition")
    return Key(kind, *names) if len(names) == 2 else Key(kind, "", names[0])


def _id(revision: int, text: str) -> str:
    return f"{revision}-{hashlib.sha256(text.encode()).hexdigest()[:HASH]}"


def check(item: str, text: str) -> None:
    """Raises Unreadable if `text` is not what was written under the name `item`."""
    id = item.rpartition(":")[2]
    if id != _id(number_of(id), text):
        raise Unreadable(f"the item {item} was changed by another program than Laneway")


def md5(text: str) -> str:
    """The MD5 of an item's content, by which Nacos compares."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def fits(text: str) -> bool:
    """Whether an item of this content is at most SIZE_LIMIT bytes."""
    return len(text.encode()) <= SIZE_LIMIT


# The index.


def encode_index(index: Index) -> str:
    """The index as JSON text with one name in each line. It is ASCII: equal bytes in every encoding
    of a server.
    """
    value = {
        "about": "Written by Laneway, as all items of this group. Change definitions with Laneway, not here.",
        "format": FORMAT,
        "revision": index.revision,
        "definitions": {_text_of(key): index.documents[key] for key in sorted(index.documents)},
        "revisions": index.revisions,
        **({"slots": ALIGNED} if index.aligned else {}),
    }
    return json.dumps({**value, "check": _check_of(value)}, indent=0)


def _check_of(value: Mapping[str, Any]) -> str:
    """A hash of an index, which shows that it was edited by hand."""
    text = json.dumps([value["revision"], value["definitions"], value["revisions"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH]


def decode_index(text: str) -> Index:
    """The index of a text of `encode_index`. Raises Unreadable."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise Unreadable(
                f"the index was written by another version of Laneway (format {value['format']!r})"
            )
        if value.get("check", _check_of(value)) != _check_of(value):  # earlier versions wrote none
            raise Unreadable(
                f"the index of revision {value['revision']} was changed by another program than Laneway"
            )
        revision, revisions = value["revision"], tuple(value["revisions"])
        documents = {_key(name): id for name, id in value["definitions"].items()}
        ids = [*documents.values(), *revisions]
        if type(revision) is not int or not all(isinstance(id, str) and _ID.fullmatch(id) for id in ids):
            raise Unreadable("the index has an id that is not valid")
        if not revisions or number_of(revisions[-1]) != revision:
            raise Unreadable(f"the index of revision {revision} does not name the item of that revision")
    except Unreadable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"the index cannot be read: {type(error).__name__} {error}") from error
    return Index(revision, documents, revisions, value.get("slots") == ALIGNED)


# Definitions and revisions.


def encode_document(definitions: Definitions, document: AnyKind, revision: int, attempt: str) -> str:
    """The item of a definition: YAML as in an export, after a comment with the revision and the attempt."""
    return (
        f"# Written by Laneway, revision {revision} ({attempt}). Change it with Laneway, not here.\n"
        f"{document_text(definitions, document)}"
    )


def decode_document(key: Key, text: str) -> Parsed:
    """The definition of a text of `encode_document`, which must have this key. Raises Unreadable."""
    try:
        (value,) = load_yaml(text.encode())
        parsed = parse_document(updated(value))
    except (ValueError, DefinitionError) as error:
        raise Unreadable(f"the item of {key} cannot be read: {error}") from error
    if key_of(parsed.document) != key:
        raise Unreadable(f"the item of {key} has {key_of(parsed.document)}")
    return parsed


def parsed(definitions: Definitions, key: Key) -> Parsed:
    """What `decode_document` returns for the item of a definition."""
    document = definitions.get(key)
    assert document is not None, "an index names what is there"
    slots = definitions.status_of(document).get("slots")
    return Parsed(
        document,
        slots and {route: tuple((one[0], one[1]) for one in table) for route, table in slots.items()},
    )


def encode_revision(revision: Revision, attempt: str) -> str:
    """The item of a revision: YAML with what people want to know, then what undoing needs, compressed.

    The second part is left out where it is too large for an item.
    """
    value: dict[str, Any] = {
        "revision": revision.number,
        "at": float(revision.at),
        "author": revision.author,
        "note": revision.note,
        "attempt": attempt,
        "what": [change.what for change in revision.changes[:WHAT_LIMIT]],
        "diff": _Block(revision.diff),
    }
    packed = base64.b64encode(zlib.compress(encode_changes(revision.changes).encode())).decode()
    whole = _dump({**value, "changes": packed})
    return whole if fits(whole) else _dump(value)


def decode_revision(text: str) -> Revision:
    """The revision of a text of `encode_revision`, without `changes` where they were left out.

    Raises Unreadable.
    """
    try:
        (value,) = load_yaml(text.encode())
        packed = value.get("changes", "")
        changes = decode_changes(zlib.decompress(base64.b64decode(packed)).decode()) if packed else ()
        return Revision(
            value["revision"], value["at"], value["author"], value["note"], changes, value["diff"]
        )
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, DefinitionError) as error:
        raise Unreadable(f"the item of a revision cannot be read: {error}") from error


WHAT_LIMIT = 100
"""Most documents that a revision's item names as changed."""


class _Block(str):
    """Text that YAML shows line by line."""


class _Dumper(DUMPER):  # type: ignore[misc,valid-type]
    pass


_Dumper.add_representer(
    _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")
)


def _dump(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


# An attempt.


@dataclass(frozen=True)
class Attempt:
    """What has to be written for a change: first `items`, by name, and then `text`, the index.

    Once the index is replaced, the items named in `garbage` are not needed any more.
    """

    index: Index
    text: str
    items: Mapping[str, str]
    garbage: frozenset[str]

    @property
    def id(self) -> str:
        """The id of its last revision, which the index of this attempt and later indexes have."""
        return self.index.revisions[-1]


def attempt(
    base: Index, definitions: Definitions, revisions: Sequence[Revision], name: str, aligned: bool = True
) -> Attempt:
    """The attempt to get from the index `base` to `definitions` by `revisions`. No two have the same `name`.

    Raises DefinitionError 413 where an item would be larger than SIZE_LIMIT.
    """
    number = revisions[-1].number
    documents = dict(base.documents)
    items: dict[str, str] = {}
    for key in {change.key for revision in revisions for change in revision.changes}:
        documents.pop(key, None)
        if (document := definitions.get(key)) is not None:
            text = encode_document(definitions, document, number, name)
            if not fits(text):
                raise _too_large(str(key), "shorten it, or use the store sqlite")
            documents[key] = _id(number, text)
            items[document_item(key, documents[key])] = text
    kept = list(base.revisions)
    for revision in revisions:
        text = encode_revision(revision, name)
        kept.append(_id(revision.number, text))
        items[revision_item(kept[-1])] = text
    index = Index(number, documents, tuple(kept[-REVISIONS_KEPT:]), aligned)
    text = encode_index(index)
    if not fits(text):
        raise _too_large(f"the index of {len(documents)} definitions", "use the store sqlite")
    return Attempt(index, text, items, frozenset(base.items() - index.items()))


def contains(text: str, attempt: Attempt) -> bool | None:
    """Whether the index `text` is that of `attempt` or a later one built on it; None if that is not
    known yet.
    """
    try:
        index = decode_index(text)
    except Unreadable:
        return None
    if attempt.id in index.revisions:
        return True
    is_older = index.revision < attempt.index.revision
    is_forgotten = number_of(index.revisions[0]) > attempt.index.revision
    return None if is_older or is_forgotten else False


def _too_large(what: str, remedy: str) -> DefinitionError:
    message = f"is larger than an item in Nacos may be ({SIZE_LIMIT} bytes)"
    return DefinitionError(413, f"{what} {message}", [Problem("", message, None, remedy, what)])
