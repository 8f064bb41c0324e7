"""Definitions as custom resources: names, and objects to documents and back. Pure.

A kind's resource is made from the table of kinds; what is written here of names holds for the CRDs, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from controlplane.model.definitions import AnyKind, Key
from controlplane.model.kinds import KINDS, Kind
from controlplane.model.parsing import Parsed, parse_document

GROUP = "laneway.dev"
VERSION = "v1"
API = f"{GROUP}/{VERSION}"
NAME_LIMIT = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

Json = dict[str, Any]


WRITTEN = f"{GROUP}/written"
"""Annotation: the revision that a control plane wrote last, and a digest of the spec as it was then."""


def digest_of(spec: Json) -> str:
    """Equal for equal specs, however numbers are written."""
    return hashlib.sha256(repr(_plain(spec)).encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        fields = cast("Json", value)
        return sorted((name, _plain(one)) for name, one in fields.items())
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plural_of(kind: str) -> str:
    """The name of a kind's resources in URLs of the API server: `lanegroups`."""
    return f"{kind.lower()}s"


BY_PLURAL: Mapping[str, Kind] = {plural_of(name): kind for name, kind in KINDS.items()}


def path_of(namespace: str, plural: str, name: str = "") -> str:
    """The path of a collection, or of one object in it."""
    collection = f"/apis/{API}/namespaces/{namespace}/{plural}"
    return f"{collection}/{name}" if name else collection


class Ref(NamedTuple):
    """What identifies an object in the namespace."""

    plural: str
    name: str

    def __str__(self) -> str:
        return f"{self.plural}/{self.name}"

    @classmethod
    def of(cls, text: str) -> Ref:
        """The one that `str` made."""
        plural, _, name = text.partition("/")
        return cls(plural, name)


@dataclass(frozen=True, slots=True)
class CustomObject:
    """What is used of an object. `version` is its resourceVersion, `created` its time as RFC 3339, `written`
    the annotation WRITTEN.
    """

    ref: Ref
    uid: str
    generation: int
    version: str
    created: str
    spec: Json = field(hash=False)
    status: Json = field(hash=False)
    written: str = ""

    @property
    def kind(self) -> Kind:
        return BY_PLURAL[self.ref.plural]

    @property
    def key(self) -> Key:
        """What it defines, as far as that can be read. The name is that of the object where none is given."""
        parent = self.spec.get(self.kind.owner) if self.kind.owner else ""
        name = self.spec.get("name", self.ref.name)
        return Key(self.kind.name, parent if isinstance(parent, str) else "", str(name))

    @property
    def written_at(self) -> int | None:
        """The revision that a control plane wrote into the spec; None where somebody else wrote after it."""
        revision, _, digest = self.written.partition(":")
        return int(revision) if revision.isdecimal() and digest == digest_of(self.spec) else None

    def parsed(self, slots: bool = False) -> Parsed:
        """Its document. Raises DefinitionError 422. What the control plane alone writes is not read, but for
        the slots where they are asked for.
        """
        fields = {"name": self.ref.name} | self.spec
        for name in self.kind.written:
            fields.pop(name, None)
        if slots and "slots" in self.status:
            fields["status"] = {"slots": self.status["slots"]}
        return parse_document(fields | {"kind": self.kind.name})


def read_object(plural: str, found: Json) -> CustomObject:
    """An object as the API server sends it. Raises LookupError, TypeError or AttributeError."""
    metadata = found["metadata"]
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if not isinstance(spec, dict) or not isinstance(status, dict):
        raise TypeError("spec or status is not an object")
    return CustomObject(
        Ref(plural, metadata["name"]),
        metadata["uid"],
        metadata["generation"],
        metadata["resourceVersion"],
        metadata["creationTimestamp"],
        spec,  # pyright: ignore[reportUnknownArgumentType]
        status,  # pyright: ignore[reportUnknownArgumentType]
        (metadata.get("annotations") or {}).get(WRITTEN, ""),
    )


def new_ref(key: Key) -> Ref:
    """The object that is made for a definition which has none: the name alone, or `PARENT.NAME`.

    Objects may have fewer names than definitions, so that others get a hash.
    """
    name = f"{key.parent}.{key.name}" if KINDS[key.kind].parent else key.name
    if not _SUBDOMAIN.fullmatch(name) or len(name) > NAME_LIMIT:
        plain = re.sub(r"[^a-z0-9-]+", "-", name).strip("-")[:200]
        name = f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("-")
    return Ref(plural_of(key.kind), name)


def spec_of(document: AnyKind, ref: Ref) -> Json:
    """The spec of an object: what the document gives beside the defaults, and the name if the object's is
    another.
    """
    kind = KINDS[document.kind]
    fields = kind.model.model_fields
    given = {
        name: value
        for name, value in document.model_dump(mode="json").items()
        if name not in ("kind", "name", *kind.written)
        and (
            name in kind.kept or fields[name].is_required() or getattr(document, name) != fields[name].default
        )
    }
    return ({"name": document.name} if document.name != ref.name else {}) | given
