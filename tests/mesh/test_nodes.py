"""Envoys and other xDS clients with wrong node metadata are told what to change; the server goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from controlplane.cli.envoy_config import bootstrap
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh

SIDECAR = {
    "role": "sidecar",
    "address": "127.9.9.9",
    "services": [{"service": "sc-A", "port": 20001, "app_port": 30001}],
}
METHODS = {
    "Delta": (discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse),
    "Stream": (discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse),
}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("edge", {}, "role"),
    ("edge", {"role": "router"}, "role"),
    ("edge", {"role": 7}, "role"),
    ("", {"role": "edge"}, "node.cluster"),
    ("", SIDECAR, "node.cluster"),
    ("x" * 300, {"role": "edge"}, "node.cluster"),
    ("app", {"role": "sidecar"}, "address"),
    ("app", {**SIDECAR, "address": "localhost"}, "address"),
    ("app", {**SIDECAR, "address": 1}, "address"),
    ("app", {**SIDECAR, "services": {}}, "services"),
    ("app", {**SIDECAR, "services": ["sc-A"]}, "services[0]"),
    ("app", {**SIDECAR, "services": [{"service": "sc-A"}]}, "port"),
    ("app", {**SIDECAR, "services": [{"service": "sc-A", "port": 20001}]}, "app_port"),
    ("app", {**SIDECAR, "services": [{"service": "", "port": 1, "app_port": 2}]}, "service"),
    ("app", {**SIDECAR, "services": [{"service": "sc-A", "port": 70000, "app_port": 2}]}, "port"),
    ("app", {**SIDECAR, "services": SIDECAR["services"] * 2}, "twice"),
    ("app", {**SIDECAR, "capture": "magic"}, "capture"),
    ("app", {**SIDECAR, "calls": "sc-B"}, "calls"),
    ("app", {**SIDECAR, "tag": ["gray"]}, "tag"),
    ("app", {**SIDECAR, "egress_address": "0.0.0.0.0"}, "egress_address"),
    ("app", {**SIDECAR, "egress_address": "0.0.0.0"}, "egress_address"),
    ("app", {**SIDECAR, "egress_address": "10.0.0.1"}, "egress_address"),
]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for tag in ("", "gray"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    return made.start(route("a", "sc-A"), group("g", "app"), lane("gray", "g"))


def ask(mesh: Mesh, variant: str, cluster: str, metadata: dict[str, Any], version: str = "") -> Any:
    """The first answer of the stream. Raises grpc.RpcError."""
    request_type, response_type = METHODS[variant]
    request = request_type(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
    node: dict[str, Any] = {"id": "n", "cluster": cluster, "metadata": metadata}
    if version:
        major, minor, patch = map(int, version.split("."))
        number = {"major_number": major, "minor_number": minor, "patch": patch}
        node |= {"user_agent_name": "envoy", "user_agent_build_version": {"version": number}}
    json_format.ParseDict(node, request.node)
    with grpc.insecure_channel(f"{mesh.xds[0]}:{mesh.xds[1]}") as channel:
        method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
        method += "DeltaAggregatedResources" if variant == "Delta" else "StreamAggregatedResources"
        call = channel.stream_stream(method, request_type.SerializeToString, response_type.FromString)
        answers = call(iter([request]), timeout=5)
        return next(answers)


@pytest.mark.parametrize("variant", METHODS)
@pytest.mark.parametrize("number", range(len(BAD)))
def test_refused(mesh: Mesh, number: int, variant: str) -> None:
    cluster, metadata, named = BAD[number]
    with pytest.raises(grpc.RpcError) as caught:
        ask(mesh, variant, cluster, metadata)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    text = str(caught.value.details())  # type: ignore[attr-defined]
    assert named in text
    assert len(text) < 2000
    assert "Traceback" not in text


def test_an_old_envoy_is_refused(mesh: Mesh) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(mesh, "Delta", "edge", {"role": "edge"}, "1.20.0")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert "1.20.0" in caught.value.details()  # type: ignore[attr-defined]


@pytest.mark.parametrize("variant", METHODS)
def test_good_ones_are_served_meanwhile(mesh: Mesh, variant: str) -> None:
    assert ask(mesh, variant, "edge", {"role": "edge"}, "1.40.0").resources
    assert ask(mesh, variant, "app", {**SIDECAR, "address": mesh.pods["A"].address}).resources
    assert mesh.edge.get("/a", ("canary", "gray")).lane == "gray"


def test_a_real_edge_has_no_drift(mesh: Mesh) -> None:
    (edge,) = [one for one in mesh.rest.get("/v1/proxies")["items"] if one["role"] == "edge"]

    def drift() -> list[str]:
        (stream,) = mesh.rest.get(f"/v1/proxies/{edge['node']}")["items"]
        return [f"{one['type']} {one['name']} {one['state']}" for one in stream["drift"]]

    until(lambda: drift() == [], 10, "an edge that has all in its present version")


def test_an_envoy_without_metadata_says_why_it_is_not_served(mesh: Mesh) -> None:
    child = mesh.start_envoy("bad", bootstrap("bad", "edge", {}, mesh.xds, (f"{mesh.network}.252", 15000)))
    until(lambda: "node.metadata.role" in child.log.read_text(), 10, "the text in the Envoy's log")
    assert mesh.edge.get("/a").chain == ["A"]
    assert "bad" not in [p["node"] for p in mesh.rest.get("/v1/proxies")["items"]]
    mesh.kill(child)


def test_an_edge_of_an_unknown_gateway_waits(mesh: Mesh) -> None:
    admin = (f"{mesh.network}.253", 15000)
    config = bootstrap("early", "later", {"role": "edge"}, mesh.xds, admin)
    child = mesh.start_envoy("early", config)
    until(lambda: "early" in [p["node"] for p in mesh.rest.get("/v1/proxies")["items"]], 10, "the proxy")
    entry = next(p for p in mesh.rest.get("/v1/proxies")["items"] if p["node"] == "early")
    assert "later" in entry["warnings"][0]
    document = mesh.gateway("later")
    document["listeners"] = [{"port": 8080, "address": admin[0]}]
    mesh.apply(document, {**route("z", "sc-A"), "gateway": "later"})
    from tests.mesh.client import fetch
    from tests.mesh.harness import listening

    until(lambda: listening((admin[0], 8080)), 10, "the edge that waited")
    until(lambda: fetch((admin[0], 8080), "/z").status == 200, 10, "its route")
    mesh.kill(child)


GRPC_NODES = [
    {"role": "grpc", "services": [{"service": "sc-A"}]},
    {"role": "grpc", "services": [{"service": "sc-A", "port": "http"}], "address": 7},
    {"role": "grpc", "services": {"sc-A": 80}, "tag": "gray"},
]


@pytest.mark.parametrize("metadata", GRPC_NODES, ids=range(len(GRPC_NODES)))
def test_no_client_breaks_the_listing_of_proxies(mesh: Mesh, metadata: dict[str, Any]) -> None:
    done = threading.Event()

    def stay() -> Iterator[Any]:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url="type.googleapis.com/envoy.config.listener.v3.Listener",
            resource_names_subscribe=["sc-A"],
        )
        json_format.ParseDict({"id": "odd", "cluster": "app", "metadata": metadata}, request.node)
        yield request
        done.wait()

    with grpc.insecure_channel(f"{mesh.xds[0]}:{mesh.xds[1]}") as channel:
        method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        request_type, response_type = METHODS["Delta"]
        call = channel.stream_stream(method, request_type.SerializeToString, response_type.FromString)
        next(answers := call(stay(), timeout=30))
        found = {one["node"]: one for one in mesh.rest.get("/v1/proxies")["items"]}
        assert found["odd"]["role"] == "grpc"
        assert len(found) > 1
        assert mesh.rest.get("/v1/proxies/odd")["items"]
        done.set()
        answers.cancel()
