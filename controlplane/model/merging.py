"""JSON Merge Patch (RFC 7396) on documents: a patch names what is to change, and null takes a field away."""

from __future__ import annotations

from typing import Any

from controlplane.model.kinds import KINDS, AnyKind
from controlplane.model.parsing import Parsed, invalid, parse_document
from controlplane.model.plain import is_object
from controlplane.model.problems import Problem


def merged(target: Any, patch: Any) -> Any:
    """`target` as `patch` changes it: MergePatch of RFC 7396, section 2."""
    if not is_object(patch):
        return patch
    result = dict(target) if is_object(target) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def patched(document: AnyKind, patch: Any) -> Parsed:
    """`document` as the patch changes it. Its names stay. Raises DefinitionError 422."""
    if not is_object(patch):
        wrong = Problem("", "must be an object", patch, "write the fields that are to change")
        raise invalid([wrong])
    kind = KINDS[document.kind]
    value = merged(document.model_dump(mode="json"), patch)
    # A field that no document has must be told, although to take it away changes nothing.
    value |= {name: patch[name] for name in patch if name not in (*kind.model.model_fields, "status")}
    key = kind.key(document)
    return parse_document(
        value, key.kind, {"name": key.name} | ({kind.owner: key.parent} if kind.owner else {})
    )
