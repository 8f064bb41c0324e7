"""A proxy that is killed in mid-interval loses at most what it had not reported, and that is shown."""

from __future__ import annotations

from collections.abc import Callable

from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc, until


def test_a_killed_edge(new_mesh: Callable[..., Mesh]) -> None:
    mesh = new_mesh()
    abc(mesh)
    mesh.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    seen = [0]
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            assert mesh.edge.get("/a").status == 200
        sent += count

    def counted() -> int:
        seen.append(mesh.rest.get("/v1/metrics/gateways/edge?window=10m&step=1m")["total"]["requests"])
        return seen[-1]

    send(50)
    until(lambda: counted() == sent, 30, "the first report")
    reported = sent
    send(30)
    mesh.restart_edge()  # SIGKILL
    lost_at_most = sent - reported
    send(20)
    until(lambda: counted() >= sent - lost_at_most and gap(mesh), 30, "the new edge's report")
    assert sent - lost_at_most <= counted() <= sent
    assert seen == sorted(seen), "it jumped backwards"
    until(lambda: received(mesh) == sent, 30, "the sidecar of A, which lost nothing")
    send(10)
    until(lambda: counted() >= sent - lost_at_most, 30, "what came later")
    assert seen[-1] <= sent
    assert seen == sorted(seen)


def gap(mesh: Mesh) -> bool:
    """Whether it is said of the edge, and of no other proxy, that requests may be missing."""
    gaps = mesh.rest.get("/v1/metrics/gateways/edge?window=10m&step=1m")["gaps"]
    assert {one["node"].partition("~")[0] for one in gaps} <= {"edge"}
    return any(one["why"] == "restarted" and one["start"] < one["end"] for one in gaps)


def received(mesh: Mesh) -> int:
    answer = mesh.rest.get("/v1/metrics/applications/spring-cloud-a?window=10m&step=1m")
    return answer["received"]["requests"]
