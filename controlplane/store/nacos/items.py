"""The items that definitions are in Nacos, as values and as text. Pure.

Each definition is an item of its own, as readable YAML, and so is each revision. An item is written once and
never changed: its name ends in a hash of its content, and the content names the attempt that wrote it, so
that no two attempts write the same item. What holds is what the one item INDEX names. It is replaced by
compare and set when all that it names is there. Everything else is garbage: of attempts that did not prevail,
or of earlier indexes.
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
from controlplane.model.parsing import Parsed, parse_document
from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.history import decode_changes, encode_changes
from controlplane.store.interface import Revision

FORMAT = 1
INDEX = "index"
REVISION = "revision"
REVISIONS_KEPT = 200

SIZE_LIMIT = 3_500_000
"""Bytes of an item. Nacos takes 10 MB, a MySQL 5.7 behind it 4 MiB by default."""

HASH = 16
_ID = re.compile(rf"[1-9][0-9]*-[0-9a-f]{{{HASH}}}")


class Unreadable(ValueError):
    """An item is not what Laneway wrote."""


@dataclass(frozen=True)
class Index:
    """What holds after revision number `revision`: the id of each definition's item.

    `revisions` are ids of the kept revisions' items, the oldest first.
    """

    revision: int = 0
    documents: Mapping[Key, str] = field(default_factory=dict)
    revisions: tuple[str, ...] = ()

    def items(self) -> set[str]:
        """Names of all items that hold, the index's own too."""
        named = {document_item(key, id) for key, id in self.documents.items()}
        return {INDEX, *named, *map(revision_item, self.revisions)}


def document_item(key: Key, id: str) -> str:
    """The name of a definition's item: `Lane:order-flow:gray:12-0123456789abcdef`."""
    return f"{_text_of(key)}:{id}"


def revision_item(id: str) -> str:
    """The name of a revision's item: `revision:12-0123456789abcdef`."""
    return f"{REVISION}:{id}"


def is_ours(item: str) -> bool:
    """Whether Laneway gives such names to items; the index itself is none of these."""
    kind, _, rest = item.partition(":")
    return (kind in KINDS or kind == REVISION) and _ID.fullmatch(rest.rpartition(":")[2]) is not None


def number_of(id: str) -> int:
    """The revision in which the item was written."""
    return int(id.partition("-")[0])


def _text_of(key: Key) -> str:
    return ":".join(part for part in key if part)


def _key(text: str) -> Key:
    kind, *names = text.split(":")
    if kind not in KINDS or len(names) != (2 if KINDS[kind].parent else 1) or not all(names):
        raise Unreadable(f"{text[:200]!r} is not the name of a definition")
    return Key(kind, *names) if len(names) == 2 else Key(kind, "", names[0])


def _id(revision: int, text: str) -> str:
    return f"{revision}-{hashlib.sha256(text.encode()).hexdigest()[:HASH]}"


def check(item: str, text: str) -> None:
    """Raises Unreadable if `text` is not what was written under the name `item`."""
    id = item.rpartition(":")[2]
    if id != _id(number_of(id), text):
        raise Unreadable(f"the item {item} was changed by someone else")


def md5(text: str) -> str:
    """What Nacos compares."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def fits(text: str) -> bool:
    """Whether a server takes an item of this content."""
    return len(text.encode()) <= SIZE_LIMIT


# The index.


def encode_index(index: Index) -> str:
    """The index as JSON text, one name a line, ASCII only: equal bytes in every encoding of a server."""
    value = {
        "about": "Written by Laneway, as every item of this group: change definitions there, not here.",
        "format": FORMAT,
        "revision": index.revision,
        "definitions": {_text_of(key): index.documents[key] for key in sorted(index.documents)},
        "revisions": index.revisions,
    }
    return json.dumps({**value, "check": _check_of(value)}, indent=0)


def _check_of(value: Mapping[str, Any]) -> str:
    """A hash of an index: half of one that was edited by hand would else be taken for the whole."""
    text = json.dumps([value["revision"], value["definitions"], value["revisions"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH]


def decode_index(text: str) -> Index:
    """The reverse of `encode_index`. Raises Unreadable."""
    try:
        value = json.loads(text)
        if value["format"] != FORMAT:
            raise Unreadable(f"was written by another version of Laneway (format {value['format']!r})")
        if value.get("check", _check_of(value)) != _check_of(value):  # earlier versions wrote none
            raise Unreadable(f"the index of revision {value['revision']} was changed by someone else")
        revision, revisions = value["revision"], tuple(value["revisions"])
        documents = {_key(name): id for name, id in value["definitions"].items()}
        ids = [*documents.values(), *revisions]
        if type(revision) is not int or not all(isinstance(id, str) and _ID.fullmatch(id) for id in ids):
            raise Unreadable("names an item in no known form")
        if not revisions or number_of(revisions[-1]) != revision:
            raise Unreadable(f"has no item of its own revision {revision}")
    except Unreadable:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"cannot be read: {type(error).__name__} {error}") from error
    return Index(revision, documents, revisions)


# Definitions and revisions.


def encode_document(definitions: Definitions, document: AnyKind, revision: int, attempt: str) -> str:
    """A definition as YAML, as an export has it."""
    return (
        f"# Laneway, revision {revision} ({attempt}). To be read here, not changed.\n"
        f"{document_text(definitions, document)}"
    )


def decode_document(key: Key, text: str) -> Parsed:
    """The reverse of `encode_document`. Raises Unreadable."""
    try:
        (value,) = load_yaml(text.encode())
        parsed = parse_document(value)
    except (ValueError, DefinitionError) as error:
        raise Unreadable(f"{key} cannot be read: {error}") from error
    if key_of(parsed.document) != key:
        raise Unreadable(f"{key} holds {key_of(parsed.document)}")
    return parsed


def parsed(definitions: Definitions, key: Key) -> Parsed:
    """What decoding the item of a definition gives."""
    document = definitions.get(key)
    assert document is not None, "an index names what is there"
    slots = definitions.status_of(document).get("slots")
    return Parsed(
        document,
        slots and {route: tuple((one[0], one[1]) for one in table) for route, table in slots.items()},
    )


def encode_revision(revision: Revision, attempt: str) -> str:
    """A revision as YAML: what people want to know first, then what undoing needs, compressed.

    That part is left out where it is too large for an item.
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
    """The reverse of `encode_revision`; without `changes` where they were left out. Raises Unreadable."""
    try:
        (value,) = load_yaml(text.encode())
        packed = value.get("changes", "")
        changes = decode_changes(zlib.decompress(base64.b64decode(packed)).decode()) if packed else ()
        return Revision(
            value["revision"], value["at"], value["author"], value["note"], changes, value["diff"]
        )
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, DefinitionError) as error:
        raise Unreadable(f"a revision cannot be read: {error}") from error


WHAT_LIMIT = 100


class _Block(str):
    """Text that stands in YAML line by line."""


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
    """What has to be written for a change: `items` by name, and then `text`, the index.

    Once it holds, the items in `garbage` are not needed any more.
    """

    index: Index
    text: str
    items: Mapping[str, str]
    garbage: frozenset[str]

    @property
    def id(self) -> str:
        """Stands in the index of this attempt, and in those that are built on it."""
        return self.index.revisions[-1]


def attempt(base: Index, definitions: Definitions, revisions: Sequence[Revision], name: str) -> Attempt:
    """The attempt to go from `base` to `definitions` by `revisions`. `name` is used only once.

    Raises DefinitionError 413 where something is larger than Nacos takes.
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
    index = Index(number, documents, tuple(kept[-REVISIONS_KEPT:]))
    text = encode_index(index)
    if not fits(text):
        raise _too_large(f"the index of {len(documents)} definitions", "use the store sqlite")
    return Attempt(index, text, items, frozenset(base.items() - index.items()))


def contains(text: str, attempt: Attempt) -> bool | None:
    """Whether the index `text` is built on that of `attempt`; None where it cannot be told, or not yet."""
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
    message = f"is larger than Nacos takes ({SIZE_LIMIT} bytes)"
    return DefinitionError(413, f"{what} {message}", [Problem("", message, None, remedy, what)])
