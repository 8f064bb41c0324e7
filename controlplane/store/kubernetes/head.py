"""The accepted definitions of all control planes, in one ConfigMap, and the history beside it. Pure.

A change becomes valid for everybody when this object is replaced by compare and set, with all of its
documents or none. It also says which generation of each custom resource is in it, and what still has to be
written into custom resources.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.model.definitions import AnyKind, Key
from controlplane.store.history import decode_changes, encode_changes
from controlplane.store.interface import Revision, Stored
from controlplane.store.kubernetes.resources import API, Json, Ref
from controlplane.store.rows import Row, Unreadable, definitions_of, rows_of, slots_rows_of

NAME = "laneway-definitions"
"""The ConfigMap with the accepted definitions."""

ENTRY = "definitions"
FORMAT = 1
SIZE_LIMIT = 900_000
"""Bytes of the ConfigMap's data before base64; the API server takes 1 MiB."""

REVISIONS_KEPT = 200
REVISION_LIMIT = 700_000
"""Bytes of the documents that a revision keeps; without them it cannot be undone."""


@dataclass(frozen=True, slots=True)
class Record:
    """The generation of an object that was taken last, and what it defined."""

    uid: str
    generation: int
    key: Key


@dataclass(frozen=True)
class Head:
    """See above. `version` is the ConfigMap's resourceVersion, "" where there is none.

    pending: merge patches for the specs of objects; None where the object has to be deleted.
    revisions: the names of the revisions that are kept, the oldest first.
    """

    stored: Stored = field(default_factory=Stored)
    aligned: bool = True
    records: Mapping[Ref, Record] = field(default_factory=dict[Ref, Record])
    pending: Mapping[Ref, Json | None] = field(default_factory=dict[Ref, Json | None])
    revisions: tuple[str, ...] = ()
    version: str = field(default="", compare=False)


def packed(head: Head) -> bytes:
    """What the ConfigMap holds of `head`. Raises Unreadable if it is too large."""
    value = {
        "format": FORMAT,
        "revision": head.stored.revision,
        "aligned": head.aligned,
        "documents": list(rows_of(head.stored.definitions)),
        "slots": list(slots_rows_of(head.stored.definitions)),
        "records": {str(ref): [one.uid, one.generation, *one.key] for ref, one in head.records.items()},
        "pending": {str(ref): patch for ref, patch in head.pending.items()},
        "revisions": head.revisions,
    }
    data = gzip.compress(json.dumps(value, separators=(",", ":")).encode(), 6, mtime=0)
    if (size := len(data)) > SIZE_LIMIT:
        raise Unreadable(f"needs {size} bytes, more than a ConfigMap may have ({SIZE_LIMIT})")
    return data


def encoded(head: Head, namespace: str) -> Json:
    """The ConfigMap of `head`. Raises Unreadable if it is too large."""
    data = packed(head)
    metadata: Json = {"name": NAME, "namespace": namespace}
    if head.version:
        metadata["resourceVersion"] = head.version
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"revision": str(head.stored.revision)},
        "binaryData": {ENTRY: base64.b64encode(data).decode()},
    }


def decoded(found: Json, known: Iterable[AnyKind] = ()) -> Head:
    """The head in a ConfigMap; equal documents are those of `known`. Raises Unreadable."""
    try:
        value = json.loads(gzip.decompress(base64.b64decode(found["binaryData"][ENTRY], validate=True)))
        if value["format"] != FORMAT:
            raise Unreadable(f"was written by another version of Laneway (format {value['format']!r})")
        rows: list[Row] = [tuple(row) for row in value["documents"]]
        definitions = definitions_of(rows, [tuple(row) for row in value["slots"]], known)
        return Head(
            Stored(definitions, int(value["revision"])),
            bool(value["aligned"]),
            {
                Ref.of(ref): Record(uid, generation, Key(*key))
                for ref, (uid, generation, *key) in value["records"].items()
            },
            {Ref.of(ref): patch for ref, patch in value["pending"].items()},
            tuple(value["revisions"]),
            found["metadata"]["resourceVersion"],
        )
    except Unreadable:
        raise
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unreadable(f"is not what Laneway wrote: {error!r}") from error


def revision_object(name: str, revision: Revision) -> Json:
    """The object of the history. Without the documents, if they are too large."""
    changes = encode_changes(revision.changes)
    what = "; ".join(one.what for one in revision.changes)
    return {
        "apiVersion": API,
        "kind": "Revision",
        "metadata": {"name": name},
        "spec": {
            "number": revision.number,
            "at": revision.at,
            "author": revision.author,
            "note": revision.note,
            "what": what if len(what) <= 1000 else what[:1000] + "…",
            "diff": revision.diff,
            "changes": changes if len(changes) <= REVISION_LIMIT else "",
        },
    }


def read_revision(found: Json) -> Revision:
    """The revision in an object of the history. Raises Unreadable."""
    try:
        spec: dict[str, Any] = found["spec"]
        changes = decode_changes(spec["changes"]) if spec.get("changes") else ()
        texts = (spec.get("author", ""), spec.get("note", ""))
        return Revision(int(spec["number"]), float(spec["at"]), *texts, changes, spec.get("diff", ""))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"is not what Laneway wrote: {error!r}") from error


def number_of(name: str) -> int:
    """The number in the name of a revision, `r12-9e107d9d`."""
    return int(name[1:].partition("-")[0])
