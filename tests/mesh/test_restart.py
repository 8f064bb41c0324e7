"""Rule 12: without the control plane proxies go on; a restarted one sends nothing anew. Slots survive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc

GRAY = ("canary", "gray")


@pytest.fixture
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh(store="memory")
    made.store = f"sqlite:{made.directory / 'store.db'}"
    abc(made, "Agray", "Cgray")
    made.start(
        route("a", "sc-A"),
        route("b", "sc-B"),
        group("order-flow", *APPLICATIONS),
        group("sale", *APPLICATIONS),
        lane("gray"),
        lane("red", "sale", ratio={"percent": 10, "routes": {"b": 0.5}, "sticky": {"cookie": "stay"}}),
        lane("blue", "sale", ratio={"percent": 20.25, "sticky": {"cookie": "stay"}}),
    )
    made.apply(lane("red", "sale", ratio={"percent": 15, "routes": {"b": 0.5}, "sticky": {"cookie": "stay"}}))
    made.wait_chain(["Agray", "B", "Cgray"], GRAY)
    return made


def versions(mesh: Mesh) -> dict[str, dict[str, Any]]:
    listed = mesh.rest.get("/v1/proxies")["items"]
    return {p["node"]: {name: t["sent"] for name, t in p["types"].items()} for p in listed}


def settled(mesh: Mesh) -> bool:
    listed = mesh.rest.get("/v1/proxies")["items"]
    return len(listed) == 6 and all(
        t["sent"] and t["sent"] == t["acked"] for p in listed for t in p["types"].values()
    )


@pytest.mark.mesh
def test_restart(mesh: Mesh) -> None:
    until(lambda: settled(mesh), 10, "all to be acknowledged")
    before = versions(mesh)
    exported = mesh.rest.call("GET", "/v1/export").body
    with mesh.load(("GET", "/a", [GRAY], b""), ("POST", "/a", [GRAY], b"x"), rate=100) as load:
        mesh.kill(mesh.serving)
        load.wait_for(100)
        mesh.start_laneway()
        # Envoys wait for at most 5 s before they connect again (see `laneway bootstrap`), 30 by default.
        until(lambda: settled(mesh), 20, "all to be connected again", exact=True)
        load.wait_for(100)
    assert load.failed() == []
    assert set(load.chains()) == {("Agray", "B", "Cgray")}
    assert versions(mesh) == before
    assert mesh.rest.call("GET", "/v1/export").body == exported


def test_slots_survive_export_and_apply(mesh: Mesh) -> None:
    slots = {n: mesh.rest.get(f"/v1/lane-groups/sale/lanes/{n}")["status"]["slots"] for n in ("red", "blue")}
    assert sum(end - start for start, end in slots["red"]["a"]) == 1500
    assert sum(end - start for start, end in slots["red"]["b"]) == 50
    assert sum(end - start for start, end in slots["blue"]["a"]) == 2025
    exported = mesh.rest.call("GET", "/v1/export").body
    for name in ("order-flow", "sale"):
        mesh.rest.done("DELETE", f"/v1/lane-groups/{name}")
    answer = mesh.rest.call("POST", "/v1/apply", exported, ("content-type", "application/yaml"))
    assert answer.status == 200, answer.body
    assert mesh.rest.call("GET", "/v1/export").body == exported
    again = {n: mesh.rest.get(f"/v1/lane-groups/sale/lanes/{n}")["status"]["slots"] for n in ("red", "blue")}
    assert again == slots
    mesh.wait_chain(["Agray", "B", "Cgray"], GRAY)
