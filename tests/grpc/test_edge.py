"""An Envoy as the edge, proxyless gRPC behind it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.grpc.conftest import NewClient
from tests.grpc.harness import GrpcMesh
from tests.mesh.client import until
from tests.mesh.documents import route
from tests.mesh.harness import listening

pytestmark = pytest.mark.mesh

CANARY = {"canary": "gray"}
BASE_CHAIN, GRAY_CHAIN = ("A", "B", "C"), ("Agray", "B", "Cgray")


def test_calls_stay_whole_and_none_fails_while_a_lane_is_switched(mesh: GrpcMesh, clients: NewClient) -> None:
    """The edge chooses a lane only when the proxyless clients know it, and stops before they forget it."""
    mesh.apply(route("grpc", "sc-A", {"prefix": "/laneway.test.Chain"}))
    mesh.start_edge()
    until(lambda: listening(mesh.edge_address), 30, "the edge to listen")
    edge = f"ipv4:///{mesh.edge_address[0]}:{mesh.edge_address[1]}"
    client = clients()
    client.wait_chain(list(GRAY_CHAIN), edge, CANARY)
    assert client.chain(edge, {"x-lane": "gray"}) == list(BASE_CHAIN)  # a client does not choose
    seen: Counter[tuple[str, ...]] = Counter()

    def call() -> tuple[str, ...]:
        chain = tuple(client.chain(edge, CANARY))
        seen[chain] += 1
        return chain

    for action, wanted in [("disable", BASE_CHAIN), ("enable", GRAY_CHAIN)] * 5:
        mesh.rest.done("POST", f"/v1/lane-groups/order-flow/lanes/gray/{action}")
        until(lambda w=wanted: call() == w, 10, f"{action} to arrive")
        for _ in range(200):
            call()
    assert seen.keys() == {BASE_CHAIN, GRAY_CHAIN}, seen
