"""What of the custom resources has room in the ConfigMap of all definitions. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from controlplane.model.problems import DefinitionError, Problem
from controlplane.store.kubernetes.head import SIZE_LIMIT, Head, packed
from controlplane.store.kubernetes.resources import CustomObject
from controlplane.store.kubernetes.taking import Objects, Taken, take
from controlplane.store.rows import Unreadable

_WRONG = Problem(
    "",
    f"has no room: all definitions together may have {SIZE_LIMIT} bytes, compressed",
    None,
    "make it smaller, or delete others",
)


def take_what_fits(
    head: Head, objects: Objects, at: float, denied: Mapping[str, DefinitionError] | None = None
) -> Taken:
    """As `take`, but what has no room is refused: of what is new the largest first, so that a small change
    never waits for a large one. Each time as many are refused as before, so few rounds find what has room.

    Raises Unreadable where even what was accepted before has none.
    """
    refused = dict(denied or {})
    large = 0
    while True:
        taken = take(head, objects, at, refused)
        if taken.head.stored == head.stored:
            return taken
        try:
            packed(taken.head)
        except Unreadable:
            came = _came(head, taken.head, objects)
            if not came:
                raise
            named = [str(one.key) for one in came[: max(1, large)]]
            large += len(named)
            refused |= dict.fromkeys(named, DefinitionError(413, "The definitions are too large", [_WRONG]))
            continue
        return taken


def _came(before: Head, after: Head, objects: Objects) -> list[CustomObject]:
    """The objects that are in `after` as they were not before, the largest first."""
    came = [
        objects[ref]
        for ref, record in after.records.items()
        if ref in objects and before.records.get(ref) != record
    ]
    return sorted(came, key=lambda one: (-len(json.dumps(one.spec)), one.ref))
