"""Falling back to base is done by gRPC itself: nothing here waits for the control plane."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tests.grpc.conftest import NewClient
from tests.grpc.harness import GrpcClient, GrpcMesh

GRAY = {"x-lane": "gray"}
RECONNECT = 20.0
"""Seconds: gRPC tries a dead instance again after 1 s, 1.6 s and so on."""


def kill(mesh: GrpcMesh, client: GrpcClient) -> float:
    """Kill an instance and start it again; how many seconds the lane's calls took to go to base."""
    pod = mesh.pods["Cgray"]
    client.wait_chain(["Cgray"], "sc-C", GRAY, RECONNECT)
    mesh.kill(pod.app)
    killed, answers = time.monotonic(), list[dict[str, Any]]()
    try:
        while not answers or answers[-1].get("chain") != ["C"]:
            answers.append(client.call("sc-C", GRAY))
            assert len(answers) < 3, answers
        took = time.monotonic() - killed
        # At most the call that left before the end of the connection was seen.
        assert [a.get("error") for a in answers[:-1]] in ([], ["UNAVAILABLE"])
        assert [client.chain("sc-C", GRAY) for _ in range(50)] == [["C"]] * 50
    finally:
        mesh.start_apps([pod])
    client.wait_chain(["Cgray"], "sc-C", GRAY, RECONNECT)
    return took


def test_a_killed_instance_gives_way_to_base_within_a_second_and_comes_back(
    mesh: GrpcMesh, client: GrpcClient
) -> None:
    """A busy machine makes it slow, nothing makes it fast: one quick round of three is enough."""
    assert any(kill(mesh, client) < 1 for _ in range(3))


def test_no_call_fails_where_no_connection_can_be_made(
    mesh: GrpcMesh, command: Sequence[str], clients: NewClient
) -> None:
    """From the first call on, and without waiting for ready."""
    pod = mesh.pods["Agray"]
    mesh.kill(pod.app)
    try:
        client = clients(command)
        assert [client.chain("sc-A", GRAY)[0] for _ in range(20)] == ["A"] * 20
    finally:
        mesh.start_apps([pod])
    client.wait_chain(["Agray", "B", "Cgray"], "sc-A", GRAY, RECONNECT)


def test_a_lane_with_one_live_instance_of_two_stays_whole(mesh: GrpcMesh, client: GrpcClient) -> None:
    name = f"Bgray{len(mesh.pods)}"
    dead, alive = (
        mesh.pod(name + letter, "sc-B", "spring-cloud-b", tag="gray", next="sc-C") for letter in "xy"
    )
    mesh.start_apps([alive])
    mesh.register(dead.name, alive.name)
    try:
        client.wait_chain([alive.name, "Cgray"], "sc-B", GRAY, RECONNECT)
        assert [client.chain("sc-B", GRAY)[0] for _ in range(20)] == [alive.name] * 20
    finally:
        mesh.register(dead.name, alive.name, registered=False)
        mesh.kill(alive.app)
    client.wait_chain(["B", "Cgray"], "sc-B", GRAY, RECONNECT)
