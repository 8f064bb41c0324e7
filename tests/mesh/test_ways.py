"""The way of one request on real Envoys, and who of the applications loses the lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.run import laneway
from tests.mesh.client import until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import APPLICATIONS, Mesh, abc

GRAY = [("canary", "gray")]


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    mesh.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))
    return mesh


def traced(mesh: Mesh, *headers: tuple[str, str], hops: int = 3) -> dict[str, Any]:
    """The way of one request, once the edge and so many hops are reported."""
    begun = mesh.rest.call("POST", "/v1/traces", {"gateway": "edge", "seconds": 20})
    assert begun.status == 201, begun.body
    token = begun.json
    assert token.get("not_reporting", []) == []
    assert token.get("not_ready", []) == []
    answer = mesh.edge.get("/a?secret=1", (token["header"], token["token"]), *headers)
    assert answer.status in (200, 202)
    assert answer.received(token["header"]) == []
    way: dict[str, Any] = {}

    def whole() -> bool:
        way.update(mesh.rest.call("GET", f"/v1/traces/{token['id']}").json)
        return len(way["hops"]) >= hops

    until(whole, 5, f"{hops} hops: {way}")
    assert mesh.rest.call("DELETE", f"/v1/traces/{token['id']}").status == 204
    return way


def test_the_way_of_a_request(mesh: Mesh) -> None:
    way = traced(mesh, *GRAY)
    assert (way["lane"], way["route"]) == ("gray", "a")
    seen = [(h["caller"], h["application"], h["tag"], h["lane"], h["fallback"]) for h in way["hops"]]
    assert seen == [
        ("edge", "spring-cloud-a", "gray", "gray", False),
        ("spring-cloud-a", "spring-cloud-b", "base", "gray", True),
        ("spring-cloud-b", "spring-cloud-c", "gray", "gray", False),
    ]
    assert way["lost"] == []


def test_the_command(mesh: Mesh) -> None:
    url, server = (
        f"http://{mesh.edge_address[0]}:{mesh.edge_address[1]}/a",
        f"{mesh.admin[0]}:{mesh.admin[1]}",
    )
    said = laneway("trace", "-H", "canary: gray", url, "--server", server, "--wait", "0")
    rows = [line.split() for line in said.splitlines() if "->" in line]
    assert [row[:7] for row in rows] == [
        ["edge", "->", "spring-cloud-a", "gray", "rule", "gray", "no"],
        ["spring-cloud-a", "->", "spring-cloud-b", "gray", "header", "base", "yes"],
        ["spring-cloud-b", "->", "spring-cloud-c", "gray", "header", "gray", "no"],
    ], said
    assert "no application lost the lane" in said


def test_a_token_that_nobody_gave_has_nothing_reported(mesh: Mesh) -> None:
    begun = mesh.rest.call("POST", "/v1/traces", {"gateway": "edge", "seconds": 20}).json
    other = mesh.rest.call("POST", "/v1/traces", {"gateway": "edge", "seconds": 20}).json
    for guess in ("", "x", f"{begun['token']}x", begun["token"][:-1], begun["id"], ".*"):
        assert mesh.edge.get("/a", ("laneway-trace", guess)).status == 200
    assert mesh.edge.get("/a", ("laneway-trace", other["token"]), ("laneway-trace", "x")).status == 200
    assert mesh.edge.get("/a", ("laneway-trace", other["token"])).status == 200
    path = f"/v1/traces/{other['id']}"
    until(lambda: mesh.rest.call("GET", path).json["seen"], 5, "the request with a token")
    assert not mesh.rest.call("GET", f"/v1/traces/{begun['id']}").json["seen"]
    for one in (begun, other):
        assert mesh.rest.call("DELETE", f"/v1/traces/{one['id']}").status == 204


def test_nothing_is_reported_while_nobody_watches(mesh: Mesh) -> None:
    """Proxies have the log all the time, and write nothing to it."""
    for admin in mesh.envoys():
        until(lambda a=admin: mesh.stats(a, "access_logs.grpc_access_log.logs_written") >= 0, 5, "statistics")

    def written() -> list[int]:
        return [mesh.stats(admin, "access_logs.grpc_access_log.logs_written") for admin in mesh.envoys()]

    def quiet() -> bool:
        """The watches of other tests have ended at every proxy, too."""
        before = written()
        for _ in range(20):
            assert mesh.chain("/a", *GRAY) == ["Agray", "B", "Cgray"]
        return written() == before and sum(before) > 0

    until(quiet, 20, "the proxies to write nothing")
    assert quiet()


FORGETTING = {"handed_on": ["x-none"]}
"""An application that makes a new request id for its calls."""


def chain_with(new_mesh: Callable[..., Mesh], *carriers: str, **behaviour: Any) -> Mesh:
    """A mesh whose B hands on only `carriers`."""
    mesh = new_mesh()
    abc(mesh, "Agray", "Cgray")
    mesh.pods["B"].carriers = carriers
    mesh.pods["B"].behaviour = behaviour
    return mesh.start(route("a", "sc-A"), group("order-flow", *APPLICATIONS), lane("gray"))


def lost(way: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(x["application"], x["to"], x["lane"], x["sent"], x["certain"]) for x in way["lost"]]


B_LOST = ("spring-cloud-b", "file///sc-C", "gray", None, True)


def last(way: dict[str, Any]) -> tuple[Any, ...]:
    hop = way["hops"][2]
    return hop["caller"], hop["application"], hop["tag"], hop["lane"], hop["known"], hop["late"]


def test_an_application_that_drops_every_header(new_mesh: Callable[..., Mesh]) -> None:
    way = traced(chain_with(new_mesh, **FORGETTING), *GRAY)
    assert last(way) == ("spring-cloud-b", "spring-cloud-c", "base", None, "time", False)
    assert lost(way) == [B_LOST]


def test_an_application_that_keeps_the_request_id_alone(new_mesh: Callable[..., Mesh]) -> None:
    way = traced(chain_with(new_mesh), *GRAY)
    assert last(way) == ("spring-cloud-b", "spring-cloud-c", "base", None, "id", False)
    assert lost(way) == [B_LOST]


def test_one_carrier_is_enough(new_mesh: Callable[..., Mesh]) -> None:
    mesh = chain_with(new_mesh, "x-lane", **FORGETTING)
    way = traced(mesh, *GRAY)
    assert last(way) == ("spring-cloud-b", "spring-cloud-c", "gray", "gray", "time", False)
    assert (way["hops"][2]["carrier"], lost(way)) == ("header", [])


@pytest.mark.mesh
def test_calls_from_a_pool_of_threads(new_mesh: Callable[..., Mesh]) -> None:
    way = traced(chain_with(new_mesh, "x-lane", "baggage", how="pool"), *GRAY)
    assert last(way) == ("spring-cloud-b", "spring-cloud-c", "base", None, "time", False)
    assert lost(way) == [B_LOST]


@pytest.mark.mesh
def test_calls_from_a_queue(new_mesh: Callable[..., Mesh]) -> None:
    way = traced(chain_with(new_mesh, "x-lane", "baggage", how="queue"), *GRAY)
    assert last(way) == ("spring-cloud-b", "spring-cloud-c", "base", None, "perhaps", True)
    assert lost(way) == [(*B_LOST[:4], False)]
