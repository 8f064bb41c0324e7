"""Two lanes with one tag: what calls without a lane take, and what is said of it; who would serve a lane
before there is one, and canaries that are unhealthy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.run import laneway
from tests.mesh.client import Client, until
from tests.mesh.documents import group, header, lane, route, rule
from tests.mesh.harness import Mesh

CANARY = ("x-canary", "true")
WHOLE = ["Ugray", "Tgray"]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    made = new_mesh()
    for tag in ("", "gray"):
        # Applications that hand nothing on: no agent, a job, a pool of threads.
        made.pod(f"U{tag}", "users", "users", tag=tag, next="audit", carriers=())
        made.pod(f"T{tag}", "audit", "audit", tag=tag, sidecar=False)
    return made.start(
        route("a", "users"),
        group("testers", "users", "audit"),
        lane("gray", "testers", "gray", rule=rule(header("x-canary", "true"))),
    )


def explained(mesh: Mesh) -> dict[str, Any]:
    asked = {"gateway": "edge", "path": "/a", "headers": [list(CANARY)]}
    hops = mesh.rest.done("POST", "/v1/explain", asked)["hops"]
    return {hop["application"]: hop.get("inherited") for hop in hops}


def warnings(mesh: Mesh, of: str, name: str) -> list[str]:
    return mesh.rest.get(f"/v1/lane-groups/{of}/lanes/{name}")["status"].get("warnings", [])


def test_a_second_lane_that_takes_the_same_way_changes_nothing(mesh: Mesh) -> None:
    mesh.wait_chain(WHOLE, CANARY)
    applied = mesh.apply(
        group("everybody", "users", "audit"), lane("share", "everybody", "gray", ratio={"percent": 0})
    )
    assert "warnings" not in applied
    until(lambda: "share" in (explained(mesh)["users"] or {"reason": ""})["reason"], 10, "the second lane")
    assert [mesh.chain("/a", CANARY) for _ in range(10)] == [WHOLE] * 10
    assert explained(mesh)["users"]["lane"] == "gray"
    mesh.rest.done("POST", "/v1/lane-groups/testers/lanes/gray/disable")
    until(lambda: explained(mesh).get("audit") is None, 10, "the lane to end at the edge")
    with Client((mesh.pods["Ugray"].address, 15001)) as client:
        # A job of the canary: it stays with the canary while the first lane ends, and after.
        for _ in range(200):
            assert client.request("GET", "http://audit/", host="audit").chain == ["Tgray"]
    mesh.rest.done("POST", "/v1/lane-groups/testers/lanes/gray/enable")
    mesh.wait_chain(WHOLE, CANARY)


def test_a_second_lane_that_differs_is_warned_about(mesh: Mesh) -> None:
    applied = mesh.apply(group("everybody", "users"))
    said = {one["document"]: one["message"] for one in applied["warnings"]}
    assert set(said) == {"Lane/gray", "Lane/share"}
    assert all("only one of groups testers and everybody has audit" in text for text in said.values())
    assert warnings(mesh, "testers", "gray") == [said["Lane/gray"]]
    mesh.wait_chain(["Ugray", "T"], CANARY)
    assert explained(mesh)["users"]["lane"] is None
    assert "only one of groups" in explained(mesh)["users"]["reason"]
    (proxy,) = mesh.rest.get("/v1/proxies/sidecar~Ugray")["items"]
    assert any("without a lane are base" in text for text in proxy["warnings"])
    server = f"http://{mesh.admin[0]}:{mesh.admin[1]}"
    shown = laneway(
        "explain", "--gateway", "edge", "--path", "/a", "-H", ": ".join(CANARY), "--server", server
    )
    assert "calls without a lane from gray instances of users are base" in shown
    mesh.apply(group("everybody", "users", "audit"))
    mesh.wait_chain(WHOLE, CANARY)
    assert warnings(mesh, "testers", "gray") == []


def test_who_would_serve_a_tag_before_there_is_a_lane(mesh: Mesh) -> None:
    mesh.rest.done("DELETE", "/v1/lane-groups/everybody")
    found = mesh.rest.get("/v1/lane-groups/testers/matches?tag=gray")
    assert found == mesh.rest.get("/v1/lane-groups/testers/lanes/gray/matches")
    none = mesh.rest.get("/v1/lane-groups/testers/matches?tag=blue")
    assert [one["services"][0]["tagged"] for one in none["applications"]] == [[], []]
    assert mesh.rest.call("GET", "/v1/lane-groups/no/matches?tag=gray").status == 404
    assert mesh.rest.call("GET", "/v1/lane-groups/testers/matches?tag=no tag").status in (400, 422)
    assert mesh.rest.call("GET", "/v1/lane-groups/testers/matches").status == 422


def test_an_unhealthy_canary_is_shown(mesh: Mesh) -> None:
    at = f"{mesh.pods['Tgray'].address}:{mesh.pods['Tgray'].port}"
    mesh.register("Tgray", health="unhealthy")
    try:
        found = mesh.rest.get("/v1/lane-groups/testers/lanes/gray/matches")["applications"][1]["services"][0]
        assert (found["tagged"], found["unhealthy"], found["fallback"]) == ([at], [at], True)
        asked = {"gateway": "edge", "path": "/a", "headers": [list(CANARY)]}
        hop = mesh.rest.done("POST", "/v1/explain", asked)["hops"][1]
        assert (hop["tag"], hop["unhealthy"], hop["fallback"]) == (None, [at], True)
        server = f"http://{mesh.admin[0]}:{mesh.admin[1]}"
        shown = laneway("matches", "--group", "testers", "--tag", "gray", "--server", server)
        assert f"{at} (unhealthy)" in shown
        assert "base (fallback)" in shown
    finally:
        mesh.register("Tgray")
