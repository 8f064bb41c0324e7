"""What a proxy has been sent, as it is shown."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import any_pb2

from controlplane.admin.proxy_answers import ResourceFilter, SentResource
from controlplane.app.proxies import MOST_BYTES, configuration
from controlplane.xds.client_status import ResourceStatus
from controlplane.xds.resource import CLUSTER, SECRET, Resource


def cluster(name: str, **fields: str) -> bytes:
    return cluster_pb2.Cluster(name=name, **fields).SerializeToString()


STRANGE = cluster_pb2.Cluster(name="strange")
STRANGE.transport_socket.typed_config.CopyFrom(
    any_pb2.Any(type_url="type.googleapis.com/no.Such", value=b"x")
)
BODIES = {
    "a": cluster("a"),
    "large": cluster("large", alt_stat_name="x" * MOST_BYTES),
    "strange": STRANGE.SerializeToString(),
}
STREAM = [
    *(ResourceStatus(CLUSTER, name, Resource(name, body, "1"), "synced") for name, body in BODIES.items()),
    ResourceStatus(CLUSTER, "gone", None, "missing"),
    ResourceStatus(SECRET, "shop", Resource("shop", b"-----BEGIN PRIVATE KEY-----", "1"), "synced"),
]


def shown(wanted: ResourceFilter) -> list[SentResource]:
    compose = configuration([(0.0, STREAM)], wanted)
    assert compose is not None
    (stream,) = compose().items
    return stream.resources


def test_a_list_has_no_content() -> None:
    found = shown(ResourceFilter())
    assert [one.name for one in found] == [*BODIES, "gone", "shop"]
    assert {(one.content, one.omitted) for one in found} == {(None, "")}
    assert [one.name for one in shown(ResourceFilter(type="secret"))] == ["shop"]
    assert configuration([], ResourceFilter()) is None


def test_a_resource_of_a_name_has_its_content() -> None:
    (one,) = shown(ResourceFilter("cluster", "a"))
    assert one.content == {"@type": CLUSTER, "name": "a"}
    assert one.size == len(BODIES["a"])


@pytest.mark.parametrize(
    ("name", "why"), [("shop", "shown to nobody"), ("large", "/config_dump"), ("strange", "no.Such")]
)
def test_what_cannot_be_shown_says_why(name: str, why: str) -> None:
    (one,) = shown(ResourceFilter(name=name))
    assert one.content is None
    assert why in one.omitted


def test_what_is_missing_has_nothing() -> None:
    (one,) = shown(ResourceFilter(name="gone"))
    assert (one.state, one.version, one.size, one.content, one.omitted) == ("missing", "", 0, None, "")
