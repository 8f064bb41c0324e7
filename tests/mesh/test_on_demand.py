"""A catalog that is too large to be sent at once: sidecars get a service when they first call it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc
from tests.mesh.large import OTHERS, TAGS, Large

GRAY, CANARY = ("x-lane", "gray"), ("canary", "gray")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("large")
    made = Large(directory, store=f"sqlite:{directory / 'store.db'}")
    try:
        abc(made, "Agray", "Bgray", "Cgray", "Bred")
        made.pod("outside", "sc-none", "none", registered=False, sidecar=False)
        made.pod("later", "sc-later", "spring-cloud-c", registered=False, sidecar=False)
        made.start(
            route("a", "sc-A"),
            group("order-flow", *APPLICATIONS),
            group("large", *(f"other-{n}" for n in range(OTHERS))),
            lane("gray"),
            lane("red"),
            *(lane(f"lane-{tag}", "large", tag) for tag in TAGS),
        )
        yield made
    finally:
        made.stop()


def settled(mesh: Mesh) -> bool:
    listed = mesh.rest.get("/v1/proxies")["items"]
    return len(listed) == 8 and all(t["sent"] == t["acked"] for p in listed for t in p["types"].values())


def egress(mesh: Mesh, name: str) -> Client:
    return Client((mesh.pods[name].address, 15001))


def clusters(mesh: Mesh, name: str) -> set[str]:
    """The services of which the sidecar has clusters."""
    lines = mesh.endpoints((mesh.pods[name].address, 15000)).splitlines()
    return {line.partition("|")[0] for line in lines if line.startswith("file///")}


def test_the_first_request_arrives_where_it_should(mesh: Mesh) -> None:
    assert clusters(mesh, "A") == clusters(mesh, "Agray") == set()
    assert mesh.chain("/a", CANARY) == ["Agray", "Bgray", "Cgray"]
    answer = mesh.edge.request("POST", "/a", [], b"x" * 50_000)
    assert (answer.status, answer.chain, answer.json["size"]) == (200, ["A", "B", "C"], 50_000)
    assert clusters(mesh, "A") == {"file///sc-B"}
    mesh.check_accepted()


def test_names_ports_and_addresses(mesh: Mesh) -> None:
    at = {name: f"{mesh.pods[name].address}:{mesh.pods[name].port}" for name in ("B", "Bgray", "Bred")}
    for host in ("sc-B", "sc-b:8080", at["B"], at["Bgray"], at["Bred"]):
        with egress(mesh, "C") as client:
            assert client.request("GET", f"http://{host}/b", [GRAY], host=host).chain[0] == "Bgray", host
            assert client.request("GET", f"http://{host}/b", host=host).chain[0] == "B", host
    assert clusters(mesh, "C") == {"file///sc-B"}


def test_what_is_no_service_passes_each_time(mesh: Mesh) -> None:
    outside = mesh.pods["outside"]
    host = f"{outside.address}:{outside.port}"
    with egress(mesh, "A") as client:
        for method in ("POST", "GET", "GET"):
            answer = client.request(method, f"http://{host}/", [GRAY], b"x" * 20_000, host=host)
            assert (answer.status, answer.chain) == (200, ["outside"])
            assert answer.received("host") == [host]
            assert not [name for name, _ in answer.json["headers"] if name.startswith("x-laneway-")]
    mesh.check_accepted()


def test_a_stranger_that_becomes_a_service(mesh: Mesh) -> None:
    later = mesh.pods["later"]
    host = f"{later.address}:{later.port}"
    later.tag = "gray"
    with egress(mesh, "A") as client:
        assert client.request("GET", f"http://{host}/", host=host).chain == ["later"]
        mesh.register("later")
        # Tagged gray, and there is no base: without the lane nobody serves.
        until(lambda: client.request("GET", f"http://{host}/", host=host).status == 503, 10, "it to be known")
        assert client.request("GET", f"http://{host}/", [GRAY], host=host).chain == ["later"]


def test_lanes_are_switched_for_services_that_are_known(mesh: Mesh) -> None:
    def red(expected: str) -> bool:
        return client.request("GET", "http://sc-B/b", [("x-lane", "red")], host="sc-B").chain[0] == expected

    with egress(mesh, "A") as client:
        mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/red/disable")
        until(lambda: red("B"), 10, "red to be base")
        mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/red/enable")
        until(lambda: red("Bred"), 10, "red to be a lane again")


@pytest.mark.mesh
def test_without_the_control_plane_what_is_known_goes_on(mesh: Mesh) -> None:
    outside = mesh.pods["outside"]
    host = f"{outside.address}:{outside.port}"
    # Each is asked for once: then it is known.
    assert mesh.chain("/a", CANARY) == ["Agray", "Bgray", "Cgray"]
    assert mesh.chain() == ["A", "B", "C"]
    with egress(mesh, "A") as client:
        assert client.request("GET", f"http://{host}/", host=host).chain == ["outside"]
    before = {name: clusters(mesh, name) for name in ("A", "Agray", "C")}
    mesh.kill(mesh.serving)
    for _ in range(10):
        assert mesh.chain("/a", CANARY) == ["Agray", "Bgray", "Cgray"]
        assert mesh.chain() == ["A", "B", "C"]
    with egress(mesh, "A") as client:
        assert client.request("GET", f"http://{host}/", host=host).chain == ["outside"]
    with mesh.load(("GET", "/a", [CANARY], b""), ("POST", "/a", [CANARY], b"x"), rate=50) as load:
        mesh.start_laneway()
        until(lambda: settled(mesh), 30, "all to be connected again")
        load.wait_for(50)
    assert load.failed() == []
    assert set(load.chains()) == {("Agray", "Bgray", "Cgray")}
    assert {name: clusters(mesh, name) for name in before} == before
    mesh.check_accepted()
    with egress(mesh, "B") as client:  # and what is not known is asked for again
        assert client.request("GET", "http://sc-A/a", [GRAY], host="sc-A").chain[0] == "Agray"
