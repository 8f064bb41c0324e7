"""Merge patches (RFC 7396): only the fields that a change moves are written into an object. Pure.

What somebody else writes into other fields at the same time stays, and their owner in the object stays, too.
"""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def difference(before: Json, after: Json) -> Json:
    """The merge patch that makes `after` of `before`."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if name in before and old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            patch[name] = difference(cast("Json", old), cast("Json", value))
        else:
            patch[name] = value
    return patch


def merged(value: Any, patch: Any) -> Any:
    """`value` after the patch."""
    if not isinstance(patch, dict):
        return patch
    result = dict(cast("Json", value)) if isinstance(value, dict) else {}
    for name, one in cast("Json", patch).items():
        if one is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), one)
    return result


def combined(first: Json, second: Json) -> Json:
    """The patch that does what both do, one after the other."""
    made = dict(first)
    for name, value in second.items():
        old = made.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            made[name] = combined(cast("Json", old), cast("Json", value))
        else:
            made[name] = value
    return made


def overlaps(patch: Json, one: Any, other: Any) -> bool:
    """Whether `one` and `other` differ in a field that the patch sets."""
    first = cast("Json", one) if isinstance(one, dict) else {}
    second = cast("Json", other) if isinstance(other, dict) else {}
    for name, value in patch.items():
        old, new = first.get(name), second.get(name)
        if isinstance(value, dict) and (isinstance(old, dict) or isinstance(new, dict)):
            if overlaps(cast("Json", value), old, new):
                return True
        elif old != new:
            return True
    return False
