"""The whole chain A -> B -> C through an edge and sidecars."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.mesh.harness import APPLICATIONS, Mesh, abc, group, lane, route


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Iterator[Mesh]:
    made = new_mesh()
    abc(made, "Agray", "Cgray")
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


def test_both_carriers_on_every_hop(mesh: Mesh) -> None:
    answer = mesh.edge.get("/a", ("canary", "gray"), ("baggage", "user=7"))
    hop = answer.json
    while hop:
        named = [v for n, v in hop["headers"] if n in ("x-lane", "baggage")]
        assert named in (["gray", "lane=gray,user=7"], ["lane=gray,user=7", "gray"]), hop["name"]
        assert not [n for n, _ in hop["headers"] if n.startswith(("x-laneway-", "x-envoy-"))], hop
        hop = hop.get("next")
