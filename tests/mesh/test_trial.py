"""Edges of one gateway, of which some are no Envoys: one that rejects a changed route holds nothing back; two
do, until they leave. Lanes are switched off all the same.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from controlplane.translate.names import edge_routes
from controlplane.xds import messages
from controlplane.xds.resource import CLUSTER, LISTENER, ROUTE
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import Mesh
from tests.xds.client import DELTA

ROUTES = edge_routes("edge")
GRAY = ("canary", "gray")


class PickyEdge:
    """A client that takes the part of an edge and rejects changed routes when it is told to.

    silent: it answers nothing. described: of its node, where it takes another part.
    """

    def __init__(self, mesh: Mesh, node: str, *, silent: bool = False, **described: Any) -> None:
        self.text = ""
        self._silent = silent
        self.ended: grpc.RpcError | None = None
        self.have: set[str] = set()
        self._requests: queue.Queue[Any] = queue.Queue()
        self._channel = grpc.insecure_channel(f"{mesh.xds[0]}:{mesh.xds[1]}")
        call = self._channel.stream_stream(
            DELTA,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=messages.DeltaResponse.FromString,
        )
        first = messages.DeltaRequest(type_url=CLUSTER)
        fields = {"id": node, "cluster": "edge", "metadata": {"role": "edge"}} | described
        message = json_format.ParseDict(fields, discovery_pb2.DeltaDiscoveryRequest().node)
        first.node.MergeFromString(message.SerializeToString())
        for request in (
            first,
            messages.DeltaRequest(type_url=LISTENER),
            messages.DeltaRequest(type_url=ROUTE, resource_names_subscribe=[ROUTES]),
        ):
            self._requests.put(request)
        self._call = call(iter(self._requests.get, None))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            for reply in self._call:
                answer = messages.DeltaRequest(type_url=reply.type_url, response_nonce=reply.nonce)
                if reply.type_url == ROUTE and self.text:
                    answer.error_detail.message = self.text
                if not self._silent:
                    self._requests.put(answer)
                self.have |= {resource.name for resource in reply.resources}
        except grpc.RpcError as error:
            self.ended = error

    def close(self) -> None:
        self._call.cancel()
        self._requests.put(None)
        self._thread.join()
        self._channel.close()


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh(drain=0.2)
    for tag in ("", "gray"):
        made.pod(f"A{tag}", "sc-A", "app", tag=tag, sidecar=False)
    return made.start(route("a", "sc-A"), group("order-flow", "app"), lane("gray"), envoys=False)


@pytest.fixture(scope="module")
def picky(mesh: Mesh) -> Iterator[list[PickyEdge]]:
    """Two that connect before the Envoy does."""
    edges: list[PickyEdge] = []
    for node in ("picky-1", "picky-2"):
        edges.append(PickyEdge(mesh, node))
        until(lambda: ROUTES in edges[-1].have, 10, "the picky edge has routes")
    mesh.start_edge()
    mesh.wait_ready()
    until(lambda: mesh.edge.get("/a", GRAY).lane == "gray", 30, "the lane")
    yield edges
    for edge in edges:
        edge.close()


def proxies(mesh: Mesh) -> dict[str, Any]:
    return {one["node"]: one for one in mesh.rest.get("/v1/proxies")["items"]}


def trials(mesh: Mesh, result: str) -> float:
    line = f'laneway_xds_trials_total{{result="{result}"}} '
    found = mesh.rest.call("GET", "/metrics").body.decode().partition(line)[2]
    return float(found.partition("\n")[0])


def metric(mesh: Mesh, line: str) -> float:
    found = mesh.rest.call("GET", "/metrics").body.decode().partition(f"\n{line} ")[2]
    return float(found.partition("\n")[0])


def test_an_accepted_change_reaches_the_other_edge(mesh: Mesh, picky: list[PickyEdge]) -> None:
    mesh.apply(route("b", "sc-A", {"prefix": "/b"}))
    until(lambda: mesh.edge.get("/b").status == 200, 10, "the new route")
    assert trials(mesh, "accepted") == 1
    assert all(not one["held"] for one in proxies(mesh).values())


def test_what_two_reject_is_held_and_a_lane_is_switched_off(mesh: Mesh, picky: list[PickyEdge]) -> None:
    for edge in picky:
        edge.text = "I am picky"
    mesh.apply(route("c", "sc-A", {"prefix": "/c"}))
    until(lambda: trials(mesh, "rejected") == 1, 10, "the rejection")
    shown = proxies(mesh)
    for one in shown.values():
        (held,) = one["held"]
        assert (held["type"], held["name"]) == ("route", ROUTES)
        assert sorted([held["node"], *held["confirmed"]]) == ["picky-1", "picky-2"]
        assert held["nack"]["message"] == "I am picky"
    assert shown["picky-1"]["types"]["route"]["nack"]["message"] == "I am picky"
    assert {shown[node]["standing"] for node in ("picky-1", "picky-2")} == {"rejecting"}
    assert metric(mesh, "laneway_xds_held_changes") == 1
    assert mesh.logs().count("a change is held") == 1
    assert mesh.edge.get("/c").status == 404
    assert mesh.edge.get("/b", GRAY).lane == "gray"
    mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/disable")
    until(lambda: mesh.edge.get("/a", GRAY).lane is None, 10, "the lane is off")
    nacks = {node for node, one in proxies(mesh).items() if one["types"]["route"]["nack"]}
    assert nacks == {"picky-1", "picky-2"}


def test_one_that_rejects_alone_holds_nothing_back(mesh: Mesh, picky: list[PickyEdge]) -> None:
    picky[1].text = ""
    for number in range(5):
        mesh.apply(route(f"alone-{number}", "sc-A", {"prefix": f"/alone-{number}"}))
        until(lambda path=f"/alone-{number}": mesh.edge.get(path).status == 200, 10, "the new route")
    assert proxies(mesh)["picky-1"]["types"]["route"]["nack"]["message"] == "I am picky"
    assert metric(mesh, "laneway_xds_held_changes") == 0


def test_what_is_held_goes_on_when_those_that_rejected_it_have_left(
    mesh: Mesh, picky: list[PickyEdge]
) -> None:
    others = [PickyEdge(mesh, node) for node in ("picky-3", "picky-4")]
    for edge in (*picky, *others):
        until(lambda edge=edge: ROUTES in edge.have, 10, "the picky edge has routes")
        edge.text = "I am picky"
    mesh.apply(route("d", "sc-A", {"prefix": "/d"}))
    until(lambda: metric(mesh, "laneway_xds_held_changes") == 1, 10, "the change to be held")
    until(lambda: mesh.edge.get("/d").status == 404, 10, "the last good routes")
    for edge in (*picky, *others):
        edge.close()
    until(lambda: mesh.edge.get("/d").status == 200, 10, "the route that was held")
    assert metric(mesh, "laneway_xds_held_changes") == 0
    assert metric(mesh, "laneway_xds_retried_changes_total") == 1


def test_a_silent_sidecar_slows_no_switch(mesh: Mesh, picky: list[PickyEdge]) -> None:
    metadata = {
        "role": "sidecar",
        "address": "10.9.9.9",
        "services": [{"service": "sc-A", "port": 20001, "app_port": 30001}],
        "capture": "redirect",
    }
    sidecar = PickyEdge(mesh, "deaf", silent=True, cluster="app", metadata=metadata)
    until(lambda: "deaf" in proxies(mesh) and proxies(mesh)["deaf"]["standing"] == "silent", 10, "silence")
    took: list[float] = []
    for _ in range(3):
        mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/enable")
        began = time.monotonic()
        until(lambda: mesh.edge.get("/a", GRAY).lane == "gray", 10, "the lane")
        took.append(time.monotonic() - began)
        mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/disable")
        until(lambda: mesh.edge.get("/a", GRAY).lane is None, 10, "the lane is off")
    sidecar.close()
    assert min(took) < 1.5  # 2 s are what an answer may take
    assert "not waiting for proxies" in mesh.logs()
