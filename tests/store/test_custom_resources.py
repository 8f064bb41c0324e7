"""Custom resources: what is written for Kubernetes is what the models say, and documents survive the way."""

from __future__ import annotations

import pytest

from controlplane.model.definitions import Key
from controlplane.model.parsing import parse_document, parse_documents
from controlplane.store.kubernetes.patches import difference, merged, overlaps
from controlplane.store.kubernetes.resources import CustomObject, Ref, new_ref, plural_of, spec_of
from tools.crds import stale

DOCUMENTS = b"""
{kind: Gateway, name: edge, listeners: [{port: 8080}], trusted_hops: 1}
---
{kind: Route, gateway: edge, name: a_b, service: sc-A, match: {paths: [{exact: /a}, {prefix: /b}]},
 timeout: 5s}
---
{kind: Application, name: spring-cloud-a, services: [sc-A], health_check: {path: /healthz}}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a], promoted: gray}
---
{kind: Lane, group: order-flow, name: gray, tag: gray, enabled: false, from: "2026-01-01T00:00:00Z",
 ratio: {percent: 33.33, routes: {a_b: 10}, sticky: {cookie: c}}, fallback: {spring-cloud-a: none}}
---
{kind: Release, group: order-flow, name: one, lane: gray, steps: [{percent: 5}, {percent: 50, hold: 10m}]}
"""


def test_the_files_are_what_the_models_say() -> None:
    assert stale() == [], "run `make crds`"


def test_documents_survive_the_way_into_objects_and_back() -> None:
    seen = set[str]()
    for document, _ in parse_documents(DOCUMENTS):
        seen.add(document.kind)
        parent = getattr(document, "gateway" if document.kind == "Route" else "group", "")
        ref = new_ref(
            Key(document.kind, parent if document.kind in ("Route", "Lane", "Release") else "", document.name)
        )
        found = CustomObject(ref, "uid", 1, "1", "", spec_of(document, ref), {})
        assert found.parsed().document == document
        assert found.key.name == document.name
    assert len(seen) == 6


def test_only_what_differs_from_the_defaults_is_written() -> None:
    document = parse_document({"kind": "Gateway", "name": "edge", "listeners": [{"port": 80}]}).document
    spec = spec_of(document, Ref("gateways", "edge"))
    assert set(spec) == {"listeners"}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Key("Gateway", "", "edge"), "edge"),
        (Key("Route", "edge", "a"), "edge.a"),
        (Key("Lane", "g", "x"), "g.x"),
        (Key("Gateway", "", "a_b"), "a-b-"),
        (Key("Gateway", "", "a..b"), "a-b-"),
        (Key("Gateway", "", "a.-b"), "a--b-"),
    ],
)
def test_names_of_objects(key: Key, name: str) -> None:
    ref = new_ref(key)
    assert ref.plural == plural_of(key.kind)
    assert ref.name == name or (ref.name.startswith(name) and len(ref.name) == len(name) + 8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 3}),
        ({"a": {"x": 1, "y": [1]}}, {"a": {"y": [1, 2]}}),
        ({"a": {"x": 1}}, {"a": "base"}),
        ({"a": "base"}, {"a": {"x": "none"}}),
        ({"a": {"x": {"y": 1}}}, {"a": {"x": {}}}),
    ],
)
def test_patches_make_the_one_of_the_other(before: dict[str, object], after: dict[str, object]) -> None:
    patch = difference(before, after)
    assert merged(before, patch) == after
    assert not overlaps(patch, before, {**before, "other": 1})
    assert difference(after, after) == {}


def test_changes_of_the_same_field_overlap() -> None:
    patch = difference({"ratio": {"percent": 1}}, {"ratio": {"percent": 2}})
    assert overlaps(patch, {"ratio": {"percent": 1}}, {"ratio": {"percent": 3}})
    assert not overlaps(patch, {"ratio": {"percent": 1}}, {"ratio": {"percent": 1, "routes": {}}})
