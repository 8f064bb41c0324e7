"""Rule 10: lanes are switched under load; no request fails and none is in two lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.client import Load, until
from tests.mesh.harness import APPLICATIONS, Mesh, abc, group, header, lane, route, rule

GRAY = ("canary", "gray")
BASE = ("A", "B", "C")
LINES = {BASE, ("Agray", "Bgray", "Cgray"), ("Ablue", "Bblue", "Cblue")}
GROUP = group("order-flow", *APPLICATIONS)


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh(drain=0.5)
    abc(made, "Agray", "Bgray", "Cgray", "Ablue", "Bblue", "Cblue")
    made.start(route("a", "sc-A"), GROUP, lane("gray"))
    made.wait_chain(["Agray", "Bgray", "Cgray"], GRAY)
    return made


def load(mesh: Mesh, rate: float = 100.0) -> Load:
    return mesh.load(
        ("GET", "/a", [GRAY], b""), ("POST", "/a", [GRAY], b"p" * 1000), ("GET", "/a", [], b""), rate=rate
    )


def comes(mesh: Mesh, name: str, lane_name: str | None = "gray") -> None:
    """Until the edge does it: the first application of the chain is `name`."""

    def met() -> bool:
        answer = mesh.edge.get("/a", GRAY)
        return answer.status == 200 and answer.chain[0] == name and answer.lane == lane_name

    until(met, 15, f"{name} in lane {lane_name}")


def enable_and_disable(mesh: Mesh) -> None:
    mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/disable")
    comes(mesh, "A", None)
    mesh.rest.done("POST", "/v1/lane-groups/order-flow/lanes/gray/enable")
    comes(mesh, "Agray")


def delete_lane(mesh: Mesh) -> None:
    mesh.rest.done("DELETE", "/v1/lane-groups/order-flow/lanes/gray")
    comes(mesh, "A", None)
    mesh.apply(lane("gray"))
    comes(mesh, "Agray")


def delete_group(mesh: Mesh) -> None:
    mesh.rest.done("DELETE", "/v1/lane-groups/order-flow")
    comes(mesh, "A", None)
    mesh.apply(GROUP, lane("gray"))
    comes(mesh, "Agray")


def move_tag(mesh: Mesh) -> None:
    mesh.apply(lane("gray", tag="blue"))
    comes(mesh, "Ablue")
    mesh.apply(lane("gray"))
    comes(mesh, "Agray")


def change_rule(mesh: Mesh) -> None:
    mesh.apply(lane("gray", rule=rule(header("canary", "other"))))
    comes(mesh, "A", None)
    mesh.apply(lane("gray"))
    comes(mesh, "Agray")


def change_applications(mesh: Mesh) -> None:
    mesh.apply(group("order-flow", *APPLICATIONS[1:]))
    comes(mesh, "A")
    mesh.apply(GROUP)
    comes(mesh, "Agray")


SWITCHES: dict[str, Callable[[Mesh], None]] = {
    "enable and disable": enable_and_disable,
    "delete the lane": delete_lane,
    "delete the group": delete_group,
    "move the tag": move_tag,
    "change the rule": change_rule,
    "change the applications": change_applications,
}


def check(sent: Load, allowed: set[tuple[str, ...]]) -> None:
    failed: list[Any] = sent.failed()
    assert failed == [], f"{len(failed)} of {len(sent.sent)} failed, the first: {failed[:3]}"
    mixed = {c: n for c, n in sent.chains().items() if c not in allowed}
    assert mixed == {}, f"{mixed} of {sent.chains()}"


def allowed(name: str) -> set[tuple[str, ...]]:
    # Without A in the group its base serves, coloured: the others are gray.
    return LINES | ({("A", "Bgray", "Cgray")} if name == "change the applications" else set())


@pytest.mark.parametrize("name", SWITCHES)
def test_twice(mesh: Mesh, name: str) -> None:
    with load(mesh) as sent:
        for _ in range(2):
            SWITCHES[name](mesh)
    check(sent, allowed(name))
    mesh.check_accepted()


@pytest.mark.mesh
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SWITCHES)
def test_twenty_times_under_load(mesh: Mesh, name: str) -> None:
    """At least 20 times each, 10,000 requests over all six."""
    with load(mesh, 120) as sent:
        for _ in range(20):
            SWITCHES[name](mesh)
        sent.wait_until(1700)
    check(sent, allowed(name))
    mesh.check_accepted()


def test_instances_come_and_go(mesh: Mesh) -> None:
    """A tagged instance that the registry drops and gets again: base meanwhile, no failure."""
    with load(mesh) as sent:
        for _ in range(3):
            mesh.register("Cgray", registered=False)
            until(lambda: mesh.chain("/a", GRAY)[-1] == "C", 10, "base")
            mesh.register("Cgray")
            until(lambda: mesh.chain("/a", GRAY)[-1] == "Cgray", 10, "the lane")
    check(sent, LINES | {("Agray", "Bgray", "C")})


def instances(mesh: Mesh, service: str) -> list[Any]:
    answer = mesh.rest.call("GET", f"/v1/services/{service}")
    return answer.json["instances"] if answer.status == 200 else []


def test_services_come_and_go(mesh: Mesh) -> None:
    with load(mesh) as sent:
        for number in range(5):
            name = f"extra{number}"
            pod = mesh.pod(name, f"sc-{name}", "spring-cloud-b", tag="gray", sidecar=False)
            mesh.register(name)
            del mesh.pods[name]
            mesh.write_services()
            until(lambda s=pod.service: instances(mesh, s) == [], 10, "the service to go")
    check(sent, LINES)
