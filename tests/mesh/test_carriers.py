"""Carriers (rule 7): names of a gateway's own over the whole chain, two gateways side by side; and whose lane
a call without any takes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mesh.client import Address, Client, Header, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import APPLICATIONS, Mesh, abc, listening

CANARY: Header = ("canary", "gray")


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    abc(made, "Agray", "Cgray", "Ared", "Cred", "Cblue", carriers=("x-lane", "x-stage", "baggage"))
    made.pods["B"].carriers = ("x-stage",)
    made.pods["Ared"].carriers = ("baggage",)
    address = second(made)
    other = made.gateway("other", carriers={"header": "X-Stage", "baggage": "stage"})
    other["listeners"] = [{"port": address[1], "address": address[0]}]
    made.start(
        route("a", "sc-A"),
        other,
        {**route("o", "sc-A"), "gateway": "other"},
        group("order-flow", *APPLICATIONS),
        lane("gray"),
        {**group("stage", *APPLICATIONS), "gateway": "other"},
        lane("red", "stage"),
        lane("blue", "stage", rule=rule(header("canary", "blue"))),
    )
    made.start_other_edge("other", (address[0], 15000))
    until(lambda: listening(address), 20, "the other edge")
    made.wait_chain(["Agray", "B", "C"], CANARY)  # B hands on nothing that this gateway's lanes travel in
    return made


def second(mesh: Mesh) -> Address:
    return (f"{mesh.network}.252", 8080)


def test_carriers_of_a_gateway_s_own(mesh: Mesh) -> None:
    """Header and baggage member have other names from end to end; hops that keep one of them are mixed."""
    with Client(second(mesh)) as client:
        until(lambda: client.get("/o", ("canary", "red")).chain == ["Ared", "B", "Cred"], 10, "the lane")
        answer = client.get("/o", ("canary", "red"), ("baggage", "u=1"))
        assert answer.received("x-stage") == ["red"]
        assert answer.received("baggage") == ["stage=red,u=1"]
        hop = answer.json
        while hop:
            named = dict(hop["headers"])
            assert (named["x-stage"], named["baggage"].partition(",")[0]) == ("red", "stage=red")
            assert "x-lane" not in named
            hop = hop.get("next")
        assert client.get("/o").chain == ["A", "B", "C"]


@pytest.mark.parametrize(
    "forged",
    [
        [("x-stage", "blue")],
        [("x-lane", "gray")],
        [("x-stage", ""), ("X-Stage", "blue")],
        [("baggage", "stage=blue")],
        [("baggage", "a=1, stage=blue;p=1,b=2"), ("baggage", "lane=gray,stage=blue")],
        [("x-lane", "blue"), ("x-stage", "gray"), ("baggage", "lane=blue,stage=gray")],
        [("baggage", "stage"), ("baggage", "stage=")],
    ],
)
def test_no_client_brings_in_a_lane_of_another_gateway(mesh: Mesh, forged: list[Header]) -> None:
    """Sidecars read the carriers of every gateway: each edge takes all of them from its clients."""
    kept = [m for n, v in forged if n == "baggage" for m in str(v).split(",") if m.strip()[0] in "ab"]
    for address, path, own, chain in (
        (mesh.edge_address, "/a", "gray", ["Agray", "B", "C"]),
        (second(mesh), "/o", "red", ["Ared", "B", "Cred"]),
    ):
        with Client(address) as client:
            answer = client.get(path, *forged)
            assert answer.chain == ["A", "B", "C"]
            assert answer.received("x-lane") == answer.received("x-stage") == []
            assert ",".join(answer.received("baggage")) == ",".join(kept)
            assert client.get(path, ("canary", own), *forged).chain == chain


def test_a_trusting_gateway_trusts_its_own_carriers(mesh: Mesh) -> None:
    mesh.apply(mesh.gateway(trust_client_lane=True))
    try:
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).lane == "red", 10, "the trust")
        both = mesh.edge.get("/a", ("x-lane", "gray"), ("x-stage", "red"), ("baggage", "stage=red,u=1"))
        assert both.chain[0] == "Agray"
        assert (both.received("x-stage"), both.received("baggage")) == ([], ["lane=gray,u=1"])
        alone = mesh.edge.get("/a", ("baggage", "u=1,lane=gray,stage=red"))
        assert (alone.chain[0], alone.received("baggage")) == ("Agray", ["lane=gray,u=1"])
        foreign = mesh.edge.get("/a", ("baggage", "stage=red,lane=later"))
        assert (foreign.chain[0], foreign.received("baggage")) == ("A", ["lane=later"])
    finally:
        mesh.apply(mesh.gateway())
        until(lambda: mesh.edge.get("/a", ("x-lane", "red")).lane is None, 10, "no trust")


def job(mesh: Mesh, name: str, *headers: Header, service: str = "sc-C") -> list[str]:
    """A call that the application of this pod makes, through its own egress proxy."""
    with Client((mesh.pods[name].address, 15001)) as client:
        return client.request("GET", f"http://{service}/job", headers, host=service).chain


def test_a_call_without_a_lane_takes_that_of_its_instance(mesh: Mesh) -> None:
    assert job(mesh, "Agray") == ["Cgray"]
    assert job(mesh, "Ared") == ["Cred"]
    assert job(mesh, "A") == ["C"]
    assert job(mesh, "Agray", ("x-lane", "later")) == ["C"]
    # The lane is set in the carriers of the gateway that the lane belongs to.
    with Client((mesh.pods["Ared"].address, 15001)) as client:
        answer = client.request("GET", "http://sc-C/job", [("baggage", "u=1,stage,lane")], host="sc-C")
        assert answer.chain == ["Cred"]
        assert (answer.received("x-stage"), answer.received("baggage")) == (["red"], ["stage=red,u=1,lane"])


def test_a_tag_of_two_enabled_lanes_is_nobody_s(mesh: Mesh) -> None:
    """Unless both lanes lead everywhere to the same instances; without fallback the second one does not."""
    mesh.apply(lane("second", tag="gray", fallback="none", rule=rule(header("canary", "second"))))
    try:
        until(lambda: job(mesh, "Agray") == ["C"], 10, "no lane of its own")
        mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/second/disable")
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the only enabled lane")
    finally:
        mesh.rest.done("DELETE", "/v1/lane-groups/order-flow/lanes/second")
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the only lane")


def test_inherit_tag_false(mesh: Mesh) -> None:
    mesh.apply(group("order-flow", *APPLICATIONS, inherit_tag=False))
    try:
        until(lambda: job(mesh, "Agray") == ["C"], 10, "no lane of its own")
        assert job(mesh, "Agray", ("x-lane", "gray")) == ["Cgray"]
        assert job(mesh, "Ared") == ["Cred"]
    finally:
        mesh.apply(group("order-flow", *APPLICATIONS))
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the lane again")


def test_an_application_by_definition(mesh: Mesh) -> None:
    """Kind Application overrides what instances say, for the lane that their calls take, too."""
    mesh.apply(
        {"kind": "Application", "name": "renamed", "services": ["sc-A"]},
        group("order-flow", "renamed", *APPLICATIONS[1:]),
    )
    try:
        mesh.wait_chain(["Agray", "B", "C"], CANARY)
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the lane by the application's new name")
        until(lambda: job(mesh, "Ared") == ["C"], 10, "spring-cloud-a to be nobody")
    finally:
        mesh.apply(group("order-flow", *APPLICATIONS))
        mesh.rest.done("DELETE", "/v1/applications/renamed")
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the lane again")


def test_the_registry_s_tag_wins_over_the_node_s(mesh: Mesh) -> None:
    pod = mesh.pods["Agray"]
    pod.tag = "red"
    mesh.write_services()
    try:
        until(lambda: job(mesh, "Agray") == ["Cred"], 10, "the tag of the registry")
        shown = [p for p in mesh.rest.get("/v1/proxies")["items"] if p["node"] == "sidecar~Agray"]
        assert any("tag" in w for w in shown[0]["warnings"])
    finally:
        pod.tag = "gray"
        mesh.write_services()
        until(lambda: job(mesh, "Agray") == ["Cgray"], 10, "the lane again")


def test_an_instance_that_no_registry_has_is_served_from_its_metadata(mesh: Mesh) -> None:
    """Its inbound, and the tag by which its own calls take a lane."""
    pod = mesh.pod("loose", "sc-loose", "spring-cloud-a", tag="gray", next="sc-C", registered=False)
    try:
        mesh.start_apps([pod])
        mesh.start_sidecars([pod])
        mesh.wait_ready("loose")
        assert job(mesh, "loose") == ["Cgray"]
        with Client((pod.address, pod.port)) as client:
            answer = client.get("/", ("baggage", "lane=gray"))
            assert (answer.chain, answer.received("x-lane")) == (["loose", "Cgray"], ["gray"])
        shown = [p for p in mesh.rest.get("/v1/proxies")["items"] if p["node"] == "sidecar~loose"]
        assert any("not in the registry" in w for w in shown[0]["warnings"])
    finally:
        mesh.kill(pod.envoy)
        mesh.kill(pod.app)
        del mesh.pods["loose"]
