"""The whole chain A -> B -> C through an edge and sidecars."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.mesh.client import Client, fetch, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc


@pytest.fixture(scope="module", params=["laneway", "grpcio"])
def mesh(new_mesh: Callable[..., Mesh], request: pytest.FixtureRequest) -> Mesh:
    """Once over each gRPC server that the xDS port may have."""
    made = new_mesh()
    made.environment["LANEWAY_XDS_TRANSPORT"] = request.param
    abc(made, "Agray", "Cgray")
    # Hops that keep one carrier only, in turn.
    made.pods["Agray"].carriers = ("x-lane",)
    made.pods["A"].carriers = ()
    made.pods["B"].carriers = ("baggage",)
    made.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    made.wait_chain(["Agray", "B", "Cgray"], ("canary", "gray"))
    return made


def test_base(mesh: Mesh) -> None:
    for _ in range(20):
        assert mesh.chain() == ["A", "B", "C"]
        assert mesh.chain("/a", ("canary", "red")) == ["A", "B", "C"]


def test_lane_end_to_end(mesh: Mesh) -> None:
    for _ in range(20):
        assert mesh.chain("/a", ("canary", "gray")) == ["Agray", "B", "Cgray"]


def test_post_with_a_body(mesh: Mesh) -> None:
    answer = mesh.edge.request("POST", "/a/x?y=1", [("canary", "gray")], b"x" * 50_000)
    assert answer.status == 200
    assert answer.chain == ["Agray", "B", "Cgray"]
    assert (answer.json["size"], answer.json["method"], answer.json["path"]) == (50_000, "POST", "/a/x?y=1")


def test_an_envoy_shows_the_version_that_the_control_plane_shows(mesh: Mesh) -> None:
    """In its statistics, and in its config dump."""

    def versions() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
        (edge,) = (p for p in mesh.rest.get("/v1/proxies")["items"] if p["role"] == "edge")
        known = {kind: {edge["types"][kind]["acked"]} for kind in ("cluster", "listener")}
        texts = fetch(mesh.edge_admin, "/stats?type=TextReadouts&filter=version_text").body.decode()
        shown = {name: value.strip('"') for name, _, value in (x.partition(": ") for x in texts.splitlines())}
        dump = fetch(mesh.edge_admin, "/config_dump").json["configs"]
        dumped = {one["@type"].rpartition(".")[2]: one.get("version_info") for one in dump}
        return known, {
            "cluster": {shown["cluster_manager.cds.version_text"], dumped["ClustersConfigDump"]},
            "listener": {shown["listener_manager.lds.version_text"], dumped["ListenersConfigDump"]},
        }

    until(lambda: len(set(map(str, versions()))) == 1, 10, "the versions of both")


def test_both_carriers_on_every_hop(mesh: Mesh) -> None:
    answer = mesh.edge.get("/a", ("canary", "gray"), ("baggage", "user=7"))
    assert answer.received("baggage") == ["lane=gray,user=7"]
    hop = answer.json
    while hop:
        named = dict(hop["headers"])
        assert (named["x-lane"], named["baggage"].partition(",")[0]) == ("gray", "lane=gray"), hop["name"]
        assert not [n for n, _ in hop["headers"] if n.startswith(("x-laneway-", "x-envoy-"))], hop
        hop = hop.get("next")


def egress(mesh: Mesh, name: str) -> Client:
    """A client of this pod's own egress proxy, as its application is."""
    return Client((mesh.pods[name].address, 15001))


def test_carriers_mixed_over_the_hops(mesh: Mesh) -> None:
    """Agray hands on x-lane alone and B baggage alone: each sidecar sets both again."""
    assert mesh.chain("/a", ("canary", "gray")) == ["Agray", "B", "Cgray"]


def test_x_lane_wins_where_carriers_disagree(mesh: Mesh) -> None:
    with egress(mesh, "A") as client:
        headers = [("x-lane", "gray"), ("baggage", "a=1,lane=red;p=2,b=3")]
        answer = client.request("GET", "http://sc-C/", headers, host="sc-C")
        assert answer.chain == ["Cgray"]
        assert (answer.received("x-lane"), answer.received("baggage")) == (["gray"], ["lane=gray,a=1,b=3"])
        answer = client.request(
            "GET", "http://sc-C/", [("x-lane", "red"), ("baggage", "lane=gray")], host="sc-C"
        )
        assert answer.chain == ["C"]


def test_baggage_alone(mesh: Mesh) -> None:
    with egress(mesh, "A") as client:
        answer = client.request(
            "GET", "http://sc-C/", [("baggage", "u=1"), ("baggage", "lane=gray")], host="sc-C"
        )
        assert answer.chain == ["Cgray"]
        assert (answer.received("x-lane"), answer.received("baggage")) == (["gray"], ["lane=gray,u=1"])


def test_an_unknown_lane_is_base_and_stays(mesh: Mesh) -> None:
    with egress(mesh, "A") as client:
        answer = client.request("GET", "http://sc-C/", [("x-lane", "later")], host="sc-C")
        assert (answer.chain, answer.received("x-lane")) == (["C"], ["later"])


def test_a_call_without_a_lane_takes_that_of_the_instance(mesh: Mesh) -> None:
    for name, expected in (("Agray", ["B", "Cgray"]), ("A", ["B", "C"])):
        with egress(mesh, name) as client:
            assert client.request("GET", "http://sc-B/job", host="sc-B").chain == expected
    with egress(mesh, "Agray") as client:
        answer = client.request("GET", "http://sc-B/job", [("x-lane", "later")], host="sc-B")
        assert answer.chain == ["B", "C"]


def test_authorities_that_mean_a_service(mesh: Mesh) -> None:
    instance = f"{mesh.pods['C'].address}:{mesh.pods['C'].port}"
    with egress(mesh, "A") as client:
        for authority in ("sc-C", "SC-C", "sc-c:80", "sc-C:20003", instance):
            for headers, expected in (([("x-lane", "gray")], ["Cgray"]), ([], ["C"])):
                answer = client.request("GET", f"http://{authority}/x?y=1", headers, host="lies.example")
                assert (answer.chain, answer.json["path"]) == (expected, "/x?y=1"), authority


def test_elsewhere_passes(mesh: Mesh) -> None:
    """An address that is no instance: straight through, with the lane's headers."""
    application = f"{mesh.pods['C'].address}:{mesh.pods['C'].app_port}"
    with egress(mesh, "A") as client:
        answer = client.request("GET", f"http://{application}/x", [("x-lane", "gray")], host=application)
        assert answer.chain == ["C"]
        assert client.request("GET", "http://no.such.host.invalid/", host="no.such.host.invalid").status in (
            502,
            503,
        )


def test_repeated_requests_use_one_connection_and_change_lanes(mesh: Mesh) -> None:
    """Routing is per request, never per connection."""
    for number in range(40):
        headers = [("canary", "gray")] if number % 2 else []
        expected = ["Agray", "B", "Cgray"] if number % 2 else ["A", "B", "C"]
        assert mesh.edge.request("GET", "/a", headers).chain == expected
