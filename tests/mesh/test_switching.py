"""Rule 10: lanes are switched under load; no request fails and none is in two lanes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.client import Load, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import APPLICATIONS, Mesh, abc

GRAY = ("canary", "gray")
BASE = ("A", "B", "C")
LINES = {BASE, ("Agray", "Bgray", "Cgray"), ("Ablue", "Bblue", "Cblue")}
NUMBERS = itertools.count()
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


def instances_come_and_go(mesh: Mesh) -> None:
    """A tagged instance that the registry drops and gets again: base meanwhile."""
    mesh.register("Cgray", registered=False)
    until(lambda: mesh.chain("/a", GRAY)[-1] == "C", 10, "base")
    mesh.register("Cgray")
    until(lambda: mesh.chain("/a", GRAY)[-1] == "Cgray", 10, "the lane")


def services_come_and_go(mesh: Mesh) -> None:
    """Another service each time, of an application in the group; stale clients are served for a while."""
    number = next(NUMBERS)
    pod = mesh.pod("extra", f"sc-extra{number}", "spring-cloud-b", tag="gray", sidecar=False)
    caller = (mesh.pods["A"].address, 15000)
    mesh.write_services()
    at = f"{pod.address}:{pod.port}::"
    until(lambda: at in mesh.endpoints(caller), 10, "the service")
    del mesh.pods["extra"]
    mesh.write_services()
    until(lambda: at not in mesh.endpoints(caller), 10, "its instance to go")


SWITCHES: dict[str, Callable[[Mesh], None]] = {
    "enable and disable": enable_and_disable,
    "delete the lane": delete_lane,
    "delete the group": delete_group,
    "move the tag": move_tag,
    "change the rule": change_rule,
    "change the applications": change_applications,
    "instances come and go": instances_come_and_go,
    "services come and go": services_come_and_go,
}


def check(sent: Load, allowed: set[tuple[str, ...]]) -> None:
    failed: list[Any] = sent.failed()
    assert failed == [], f"{len(failed)} of {len(sent.sent)} failed, the first: {failed[:3]}"
    mixed = {c: n for c, n in sent.chains().items() if c not in allowed}
    assert mixed == {}, f"{mixed} of {sent.chains()}"


def allowed(name: str) -> set[tuple[str, ...]]:
    # Without A in the group its base serves, coloured: the others are gray. Base answers for C that is gone.
    more = {
        "change the applications": {("A", "Bgray", "Cgray")},
        "instances come and go": {("Agray", "Bgray", "C")},
    }
    return LINES | more.get(name, set())


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
    """20 times there and back each, over 10,000 requests in all; no route ever named a missing cluster."""
    with load(mesh, 200) as sent:
        for _ in range(20):
            SWITCHES[name](mesh)
        sent.wait_until(1300)
    check(sent, allowed(name))
    mesh.check_accepted()
    for admin in (mesh.edge_admin, *((p.address, 15000) for p in mesh.pods.values())):
        assert mesh.stats(admin, "http.*no_cluster$") == 0
