"""A filter that is left out changes nothing: answers, forwarded headers and counters stay the same.

What real Envoys have got is copied into static configurations, once as it is and once with every filter on
for every request. Both get the same requests, made of everything that filters look at.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mesh.client import Header, until
from tests.mesh.documents import condition, group, lane, rule
from tests.mesh.gates import EDGE, INBOUND, OUTBOUND, compare, started
from tests.mesh.harness import Mesh


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    return started(new_mesh())


LIFTED = rule(condition("query", "c", "==", "red"), condition("cookie", "c", "==", "red"), match="any")


def test_an_edge(mesh: Mesh) -> None:
    compare(mesh, "edge", mesh.edge_admin, EDGE)


def test_an_edge_that_trusts_its_clients(mesh: Mesh) -> None:
    mesh.apply(mesh.gateway(trust_client_lane=True))
    try:
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "Ared", 10, "the trust")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.apply(mesh.gateway())
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).json["name"] == "A", 10, "no trust")


def test_an_edge_that_lifts_cookies_and_parameters(mesh: Mesh) -> None:
    mesh.apply(lane("lifted", "g", tag="red", rule=LIFTED))
    try:
        until(lambda: mesh.edge.get("/a?c=red").json["name"] == "Ared", 10, "the rule")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.rest.call("DELETE", "/v1/lane-groups/g/lanes/lifted")
        until(lambda: mesh.edge.get("/a?c=red").json["name"] == "A", 10, "the rule to go")


def test_an_edge_with_a_sticky_ratio(mesh: Mesh) -> None:
    ratio = {"percent": 40, "sticky": {"header": "user"}}
    mesh.apply(group("shares", "app"), lane("share", "shares", tag="red", ratio=ratio))
    try:
        users = [("user", str(number)) for number in range(40)]
        until(lambda: any(mesh.edge.get("/a", u).lane == "share" for u in users), 10, "the share")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
    finally:
        mesh.rest.call("DELETE", "/v1/lane-groups/shares/lanes/share")


def test_beside_a_gateway_with_other_carriers(mesh: Mesh) -> None:
    other = mesh.gateway("other", carriers={"header": "X-Stage", "baggage": "stage"})
    other["listeners"] = [{"port": 8081, "address": mesh.edge_address[0]}]
    stage: Header = ("x-stage", "gray")
    mesh.apply(other)
    try:
        until(lambda: mesh.edge.get("/a", stage).received("x-stage") == [], 10, "the other carriers")
        compare(mesh, "edge", mesh.edge_admin, EDGE)
        compare(mesh, "outbound", (mesh.pods["B"].address, 15000), OUTBOUND)
        compare(mesh, "inbound", (mesh.pods["B"].address, 15000), INBOUND)
    finally:
        mesh.rest.call("DELETE", "/v1/gateways/other")
        until(lambda: mesh.edge.get("/a", stage).received("x-stage") == ["gray"], 10, "one gateway alone")


def test_a_sidecar_outbound(mesh: Mesh) -> None:
    compare(mesh, "outbound", (mesh.pods["B"].address, 15000), OUTBOUND)


def test_a_sidecar_whose_tag_is_a_lane(mesh: Mesh) -> None:
    """There Lua reads every request, since the instance's own lane is that of calls without one."""
    compare(mesh, "outbound", (mesh.pods["Bgray"].address, 15000), OUTBOUND - {"outbound-request", "reply"})


def test_a_sidecar_inbound(mesh: Mesh) -> None:
    compare(mesh, "inbound", (mesh.pods["B"].address, 15000), INBOUND)
