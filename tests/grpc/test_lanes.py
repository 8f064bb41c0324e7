"""gRPC's own xDS clients follow a lane: tagged instances, else base, decided for each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from controlplane.cli.grpc_config import grpc_bootstrap
from tests.grpc.conftest import NewClient
from tests.grpc.harness import PYTHON, GrpcClient, GrpcMesh
from tests.mesh.client import until

GRAY, RED = {"x-lane": "gray"}, {"x-lane": "red"}
BASE_CHAIN = ["A", "B", "C"]
GRAY_CHAIN = ["Agray", "B", "Cgray"]


@pytest.mark.parametrize(
    ("metadata", "chain"),
    [
        ({}, BASE_CHAIN),
        (GRAY, GRAY_CHAIN),
        ({"x-lane": "nowhere"}, BASE_CHAIN),
        ({"baggage": "lane=gray"}, GRAY_CHAIN),
        ({"baggage": "user=1, lane = gray;ttl=1,k=v"}, GRAY_CHAIN),
        ({"baggage": "mylane=gray,Lane=gray,lane=grayer,lane="}, BASE_CHAIN),
        ({"x-lane": "nowhere", "baggage": "lane=gray"}, BASE_CHAIN),
        ({"x-lane": "gray", "baggage": "lane=nowhere"}, GRAY_CHAIN),
        ({"x-lane": "", "baggage": "lane=gray"}, GRAY_CHAIN),
    ],
    ids=str,
)
def test_a_call_follows_its_lane_hop_by_hop(
    mesh: GrpcMesh, client: GrpcClient, metadata: dict[str, str], chain: list[str]
) -> None:
    """B has no gray instance; the colour, which the applications pass on, is kept behind it."""
    assert client.chain("sc-A", metadata) == chain
    mesh.check_accepted()


@pytest.mark.parametrize("name", ["file///sc-C", "sc-C"])
def test_a_service_has_every_unambiguous_name(client: GrpcClient, name: str) -> None:
    assert client.chain(name) == ["C"]
    assert client.chain(name, GRAY) == ["Cgray"]


def test_a_service_that_is_not_there_yet_is_waited_for(
    mesh: GrpcMesh, command: Sequence[str], clients: NewClient
):
    client, service = clients(command), f"sc-New{len(mesh.pods)}"
    assert "error" in client.call(service, timeout=0.5)
    pod = mesh.pod(service, service, "spring-cloud-new")
    mesh.start_apps([pod])
    mesh.register(service)
    client.wait_chain([service], service)


def test_a_disabled_lane_is_base_and_an_enabled_one_is_back(mesh: GrpcMesh, client: GrpcClient) -> None:
    assert client.chain("sc-A", GRAY) == GRAY_CHAIN
    lane = "/v1/lane-groups/order-flow/lanes/gray"
    try:
        mesh.rest.done("POST", f"{lane}/disable")
        client.wait_chain(BASE_CHAIN, "sc-A", GRAY)
    finally:
        mesh.rest.done("POST", f"{lane}/enable")
    client.wait_chain(GRAY_CHAIN, "sc-A", GRAY)


def test_what_the_registry_calls_unhealthy_or_removes_is_not_used(mesh: GrpcMesh, client: GrpcClient) -> None:
    """In the lane without fallback, calls fail then."""
    client.wait_chain(["Cgray"], "sc-C", GRAY)  # the test before may have switched the lane a moment ago
    client.wait_chain(["Cred"], "sc-C", RED)
    for state in ({"health": "unhealthy"}, {"registered": False}):
        mesh.register("Cgray", "Cred", **state)
        try:
            client.wait_chain(["C"], "sc-C", GRAY)
            until(lambda: client.call("sc-C", RED).get("error") == "UNAVAILABLE", 5, "the lane to fail")
        finally:
            mesh.register("Cgray", "Cred")
        client.wait_chain(["Cgray"], "sc-C", GRAY)
        client.wait_chain(["Cred"], "sc-C", RED)


def test_a_base_of_which_nothing_is_healthy_is_tried_all_the_same(mesh: GrpcMesh, client: GrpcClient) -> None:
    name = f"sick-{len(mesh.pods)}"
    mesh.start_apps([mesh.pod(name, name, "spring-cloud-sick")])
    mesh.register(name, health="unhealthy")
    assert client.chain(name) == [name]


def test_weights_of_instances_count(mesh: GrpcMesh, client: GrpcClient) -> None:
    number = len(mesh.pods)
    service = f"sc-W{number}"
    light = mesh.pod(f"Light{number}", service, "spring-cloud-w")
    heavy = [mesh.pod(f"Heavy{number}{n}", service, "spring-cloud-w", weight=2) for n in "ab"]
    mesh.start_apps([light, *heavy])
    mesh.register(light.name, *(pod.name for pod in heavy))
    names = {light.name, *(pod.name for pod in heavy)}
    seen: Counter[str] = Counter()
    until(lambda: seen.update(client.chain(service)) or seen.keys() == names, 10, "a call to each instance")
    seen.clear()
    for _ in range(1000):
        seen.update(client.chain(service))
    # 1 : 2 : 2, five standard deviations wide
    assert abs(seen[light.name] - 200) < 64
    assert all(abs(seen[pod.name] - 400) < 80 for pod in heavy)


def test_a_call_without_any_lane_takes_that_of_its_instance(
    clients: NewClient, command: Sequence[str]
) -> None:
    """As with a sidecar: background jobs, and applications that lost the colour."""
    client = clients(command, application="spring-cloud-b", tag="gray")
    assert client.chain("sc-C") == ["Cgray"]
    assert client.chain("sc-C", RED) == ["Cred"]
    assert client.chain("sc-C", {"baggage": "k=v"}) == ["Cgray"]
    assert client.chain("sc-C", {"baggage": "lane=nowhere"}) == ["C"]


def test_the_client_is_shown_with_its_role(mesh: GrpcMesh, client: GrpcClient) -> None:
    client.chain("sc-A")
    node = client.log.stem

    def acknowledged() -> bool:
        types = mesh.rest.get(f"/v1/proxies/{node}")["items"][0]["types"].values()
        return all(state["acked"] == state["sent"] != "" for state in types)

    until(acknowledged, 5, "all to be acknowledged")
    shown = mesh.rest.get(f"/v1/proxies/{node}")["items"][0]
    assert (shown["role"], shown["variant"], shown["warnings"]) == ("grpc", "sotw", [])


def test_a_bootstrap_without_a_role_is_told_what_to_write(mesh: GrpcMesh) -> None:
    config = grpc_bootstrap("nobody", "caller", "", f"{mesh.xds[0]}:{mesh.xds[1]}")
    del config["node"]["metadata"]
    client = GrpcClient(PYTHON, mesh.environment_of("nobody", config), mesh.directory / "nobody.log")
    try:
        answer = client.call("sc-A")
    finally:
        client.stop()
    assert "write edge, sidecar or grpc" in answer["text"]
