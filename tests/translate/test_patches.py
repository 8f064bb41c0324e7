"""Patches change what they name and nothing else: all else is the same, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.message import Message

from controlplane.model.patches import EnvoyPatch
from controlplane.translate.patches import patched
from tests.translate import cases

KINDS: dict[str, tuple[str, type[Message]]] = {
    "Listener": ("listener", listener_pb2.Listener),
    "RouteConfiguration": ("route_configuration", route_pb2.RouteConfiguration),
    "Cluster": ("cluster", cluster_pb2.Cluster),
}
EDGE = {"id": "edge", "cluster": "edge", "metadata": {"role": "edge"}}


def patch(kind: str, *operations: dict[str, Any], name: str | None = None) -> EnvoyPatch:
    return EnvoyPatch.model_validate({"resource": kind, "name": name, "operations": list(operations)})


@pytest.mark.parametrize("case", cases.NAMES)
def test_a_patch_that_changes_nothing_changes_no_byte(case: str) -> None:
    """Whatever an edge has can be read as JSON and written again."""
    for one in cases.sent({**cases.read(case), "nodes": [EDGE], "show": ["*"]}):
        if one.kind not in KINDS:
            continue
        kind, message = KINDS[one.kind]
        before = message.FromString(one.resource.body)
        same = patch(kind, {"op": "test", "path": "/name", "value": one.resource.name})
        found, failures = patched(kind, [before], [same])
        assert failures == []
        assert found[0].SerializeToString(deterministic=True) == one.resource.body


def clusters() -> list[cluster_pb2.Cluster]:
    return [cluster_pb2.Cluster(name=name) for name in ("a", "b")]


def timeout(value: str) -> dict[str, Any]:
    return {"op": "add", "path": "/connect_timeout", "value": value}


def test_patches_are_applied_in_order_to_what_they_name() -> None:
    wanted = [
        patch("cluster", timeout("1s")),
        patch("cluster", timeout("2s"), name="b"),
        patch("listener", timeout("9s")),
    ]
    found, failures = patched("cluster", clusters(), wanted)
    assert [one.connect_timeout.seconds for one in found] == [1, 2]
    assert failures == []


def test_a_patch_that_fails_is_left_out_as_a_whole() -> None:
    missing = {"op": "remove", "path": "/metadata/filter_metadata"}
    found, failures = patched("cluster", clusters(), [patch("cluster", timeout("1s"), missing)])
    assert found == clusters()
    assert [(one.patch, one.operation) for one in failures] == [(0, 1)]
    both = [patch("cluster", timeout("1s"), name="c"), patch("cluster", timeout("2s"))]
    found, failures = patched("cluster", clusters(), both)
    assert [one.connect_timeout.seconds for one in found] == [2, 2]
    assert [(one.patch, one.reason) for one in failures] == [(0, "the gateway has no cluster c; it has a, b")]


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (timeout("soon"), "what results is no envoy.config.cluster.v3.Cluster"),
        ({"op": "add", "path": "/nothing", "value": 1}, 'no field named "nothing"'),
        ({"op": "replace", "path": "/name", "value": "c"}, "changes the name a"),
        ({"op": "add", "path": "/a/b/c", "value": 1}, "add /a/b/c"),
        ({"op": "add", "path": "/transport_socket/typed_config", "value": {"@type": "x"}}, "add /transport"),
        ({"op": "add", "path": "/transport_socket", "value": {"typed_config": {"@type": "os.X"}}}, "os.X"),
    ],
)
def test_what_is_said_of_a_wrong_operation(operation: dict[str, Any], said: str) -> None:
    found, failures = patched("cluster", clusters(), [patch("cluster", operation)])
    assert found == clusters()
    assert said in failures[0].reason
    assert len(failures[0].reason) < 500
