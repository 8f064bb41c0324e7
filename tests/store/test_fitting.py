"""Custom resources for which the ConfigMap of all definitions has no room."""

from __future__ import annotations

import random
from typing import Any

import pytest

from controlplane.store.kubernetes.fitting import take_what_fits
from controlplane.store.kubernetes.head import SIZE_LIMIT, Head, decoded, encoded
from controlplane.store.kubernetes.resources import CustomObject, Ref
from controlplane.store.rows import Unreadable

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
BASE = {
    "gateways": ("edge", {"listeners": [{"port": 8080}]}),
    "lanegroups": ("g", {"gateway": "edge", "applications": ["a"]}),
}


def found(plural: str, name: str, spec: dict[str, Any], generation: int = 1) -> CustomObject:
    return CustomObject(Ref(plural, name), f"uid-{name}", generation, "1", "2026-01-01T00:00:00Z", spec, {})


def large(name: str, values: int = 10_000, generation: int = 1) -> CustomObject:
    """A lane that compression hardly makes smaller."""
    chance = random.Random(name)
    said = ["".join(chance.choices(LETTERS, k=20)) for _ in range(values)]
    conditions = [{"source": "header", "name": "user", "operator": "in", "value": said}]
    spec = {"group": "g", "tag": name, "rule": {"conditions": conditions}}
    return found("lanes", name, spec, generation)


def by_ref(*objects: CustomObject) -> dict[Ref, CustomObject]:
    base = [found(plural, name, spec) for plural, (name, spec) in BASE.items()]
    return {one.ref: one for one in (*base, *objects)}


def stored(head: Head) -> Head:
    """As another control plane reads it."""
    document = encoded(head, "laneway")
    document["metadata"]["resourceVersion"] = "1"
    return decoded(document)


def test_the_largest_of_what_is_new_are_refused_and_the_rest_is_taken() -> None:
    some = [large(f"large-{number}") for number in range(7)]
    small = [large(f"small-{number}", 10) for number in range(20)]
    taken = take_what_fits(Head(), by_ref(*some, *small), 0.0)
    names = set(taken.head.stored.definitions.lanes)
    assert {one.ref.name for one in small} < names
    refused = {ref.name: one for ref, one in taken.verdicts.items() if not one.accepted}
    assert len(refused) in (2, 3, 4)
    assert refused.keys() | names == {one.ref.name for one in (*some, *small)}
    for verdict in refused.values():
        assert verdict.reason == "TooLarge"
        assert verdict.message == (
            f"has no room: all definitions together may have {SIZE_LIMIT} bytes, compressed; "
            "make it smaller, or delete others"
        )
    # Looked at again, nothing changes, whoever looks; what is small is taken nevertheless.
    head = stored(taken.head)
    again = take_what_fits(head, by_ref(*some, *small), 0.0)
    assert again.head.stored == head.stored
    assert {ref.name for ref, one in again.verdicts.items() if not one.accepted} == refused.keys()
    late = large("late", 10)
    assert "late" in take_what_fits(head, by_ref(*some, *small, late), 0.0).head.stored.definitions.lanes
    # An object that was taken and grows keeps what was taken of it.
    grown = large("small-0", generation=2)
    taken = take_what_fits(head, by_ref(*some, *small[1:], grown), 0.0)
    assert taken.verdicts[grown.ref].reason == "TooLarge"
    assert taken.head.stored.definitions.lanes["small-0"] == head.stored.definitions.lanes["small-0"]
    # Room is made.
    left = [one for one in some if one.ref.name in refused][:1]
    taken = take_what_fits(head, by_ref(*left, *small), 0.0)
    assert all(one.accepted for one in taken.verdicts.values())
    assert left[0].ref.name in taken.head.stored.definitions.lanes


def test_what_was_accepted_stays_where_nothing_is_new() -> None:
    taken = take_what_fits(Head(), by_ref(large("one", 10)), 0.0)
    head = stored(taken.head)
    assert take_what_fits(head, by_ref(large("one", 10)), 0.0).head.stored == head.stored


def test_a_change_that_nobody_made_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as an end, where what is left is larger than the limit of another version."""
    taken = take_what_fits(Head(), by_ref(large("one", 10), large("two", 10)), 0.0)
    monkeypatch.setattr("controlplane.store.kubernetes.head.SIZE_LIMIT", 100)
    with pytest.raises(Unreadable, match="more than a ConfigMap may have"):
        take_what_fits(taken.head, by_ref(large("one", 10)), 0.0)
