"""Users' patches on real edges: taken, refused in Envoy's words, held by the trial, left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from controlplane.cli.envoy_config import bootstrap, edge_metadata
from tests.mesh.client import Client, until
from tests.mesh.documents import group, lane, route
from tests.mesh.harness import ENVOY, Mesh

GRAY = ("canary", "gray")
FILTER = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
MANAGER = "/filter_chains/0/filters/0/typed_config"
HOST = "/virtual_hosts/0/matcher"


def rate_limit(**wrong: Any) -> dict[str, Any]:
    """No request but two, then 429."""
    half = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    config = {
        "@type": FILTER,
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": 2, "tokens_per_fill": 1, "fill_interval": "3600s"},
        "filter_enabled": half,
        "filter_enforced": half,
        **wrong,
    }
    value = {"name": "limit", "typed_config": config}
    return {
        "resource": "listener",
        "operations": [{"op": "add", "path": f"{MANAGER}/http_filters/0", "value": value}],
    }


def stat_prefix(value: str) -> dict[str, Any]:
    operations = [{"op": "replace", "path": f"{MANAGER}/stat_prefix", "value": value}]
    return {"resource": "listener", "operations": operations}


def connect_timeout(cluster: str, value: str = "3s") -> dict[str, Any]:
    operation = {"op": "replace", "path": "/connect_timeout", "value": value}
    return {"resource": "cluster", "name": cluster, "operations": [operation]}


BROKEN = rate_limit(token_bucket={"max_tokens": 2, "fill_interval": "0.001s"})
"""It is a LocalRateLimit, and one that Envoy rejects: the time is too short."""


def started(mesh: Mesh, **environment: str) -> Mesh:
    mesh.environment |= {"LANEWAY_ALLOW_ENVOY_PATCHES": "true", **environment}
    mesh.pod("A", "sc-A", "a", sidecar=False)
    mesh.pod("Agray", "sc-A", "a", tag="gray", sidecar=False)
    return mesh.start(route("a", "sc-A"), group("flow", "a"), lane("gray", "flow"))


@pytest.fixture(scope="module")
def mesh(new_mesh: Callable[..., Mesh]) -> Mesh:
    return started(new_mesh(), LANEWAY_ENVOY_BINARY=str(ENVOY))


@pytest.fixture(scope="module")
def unaided(new_mesh: Callable[..., Mesh]) -> Mesh:
    """The control plane has no Envoy of its own."""
    return started(new_mesh(), LANEWAY_TRIAL_WAIT="2")


def put(mesh: Mesh, *patches: dict[str, Any]) -> Any:
    document = mesh.gateway(**({"envoy_patches": list(patches)} if patches else {}))
    body = json.dumps(document).encode()
    return mesh.rest.call("PUT", "/v1/gateways/edge", body, ("content-type", "application/json"))


def statuses(mesh: Mesh, count: int) -> list[int]:
    with Client(mesh.edge_address) as client:
        return [client.get("/a", GRAY).status for _ in range(count)]


def test_an_edge_takes_what_a_patch_adds(mesh: Mesh) -> None:
    """And keeps what Laneway has set: lanes, and the counter of fallbacks, whose field JSON cannot hold."""
    cluster = "file///sc-A|base"
    answer = put(mesh, rate_limit(), connect_timeout(cluster))
    assert answer.status == 200, answer.body
    until(lambda: 429 in statuses(mesh, 3), 10, "the limit")
    until(lambda: '"connect_timeout": "3s"' in mesh.config_dump(mesh.edge_admin), 10, "the time")
    assert mesh.config_dump(mesh.edge_admin).count('"connect_timeout": "3s"') == 1
    assert put(mesh).status == 200
    until(lambda: statuses(mesh, 4) == [200] * 4, 10, "no limit")
    mesh.check_accepted()
    assert put(mesh, stat_prefix("mine")).status == 200
    until(
        lambda: statuses(mesh, 1) == [200] and mesh.stats(mesh.edge_admin, "http.mine.downstream_rq_total"),
        10,
        "it",
    )
    mesh.check_accepted()
    mesh.register("Agray", registered=False)
    until(lambda: mesh.chain("/a", GRAY) == ["A"], 10, "the fallback")
    with Client(mesh.edge_address) as client:
        assert client.get("/a", GRAY).chain == ["A"]
    until(lambda: mesh.stats(mesh.edge_admin, "laneway.fallback"), 10, "the counter")
    mesh.register("Agray")
    assert put(mesh).status == 200


@pytest.mark.parametrize(
    ("patches", "field", "message"),
    [
        ([rate_limit(), BROKEN], "envoy_patches[1]", "is rejected by Envoy: "),
        ([connect_timeout("file///sc-A|base", "-3s")], "envoy_patches[0]", "is rejected by Envoy: "),
        ([connect_timeout("nothing")], "envoy_patches[0]", "the gateway has no cluster nothing; it has file"),
        ([rate_limit(unknown=1)], "envoy_patches[0]", "has no field named"),
        ([rate_limit(**{"@type": "type.googleapis.com/envoy.None"})], "envoy_patches[0]", "envoy.None"),
        (
            [{"resource": "listener", "operations": [{"op": "remove", "path": "/nothing/0"}]}],
            "envoy_patches[0].operations[0]",
            "remove /nothing/0",
        ),
        (
            [{"resource": "listener", "operations": [{"op": "replace", "path": "/name", "value": "x"}]}],
            "envoy_patches[0]",
            "by which proxies know the resource",
        ),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(
    mesh: Mesh, patches: list[dict[str, Any]], field: str, message: str
) -> None:
    before = mesh.rest.get("/v1/gateways/edge")
    answer = put(mesh, *patches)
    assert answer.status == 422, answer.body
    error = answer.json["errors"][0]
    assert error["field"] == field
    assert message in error["message"], error
    assert error["remedy"]
    stream = json.dumps(mesh.gateway(envoy_patches=patches)).encode()
    for query in ("", "?dry_run=true"):
        applied = mesh.rest.call("POST", f"/v1/apply{query}", stream, ("content-type", "application/yaml"))
        assert (applied.status, applied.json["errors"][0]["document"]) == (422, "Gateway/edge")
    assert mesh.rest.get("/v1/gateways/edge") == before


def test_a_patch_whose_target_goes_is_left_out_with_a_warning(mesh: Mesh) -> None:
    assert put(mesh, connect_timeout("file///sc-A|base"), stat_prefix("kept")).status == 200
    assert "warnings" not in mesh.rest.get("/v1/gateways/edge")["status"]
    mesh.rest.done("DELETE", "/v1/gateways/edge/routes/a")

    def warned() -> list[str]:
        return mesh.rest.get("/v1/gateways/edge")["status"].get("warnings", [])

    until(warned, 10, "the warning")
    text = "envoy_patches[0] is not applied: the gateway has no cluster file///sc-A|base; it has none"
    assert warned() == [text]
    assert any(text in one["warnings"] for one in mesh.rest.get("/v1/proxies")["items"])
    until(lambda: statuses(mesh, 1) == [404], 10, "the edge to have no route")
    mesh.apply(route("a", "sc-A"))
    until(lambda: not warned(), 10, "no warning")
    until(lambda: '"connect_timeout": "3s"' in mesh.config_dump(mesh.edge_admin), 10, "the time again")
    assert put(mesh).status == 200


def edges(mesh: Mesh) -> list[dict[str, Any]]:
    return [one for one in mesh.rest.get("/v1/proxies")["items"] if one["role"] == "edge"]


def settled(mesh: Mesh, kind: str) -> bool:
    states = [one["types"].get(kind) for one in edges(mesh)]
    return all(state is not None and state["acked"] == state["sent"] != "" for state in states)


@pytest.fixture(scope="module")
def four(unaided: Mesh) -> Mesh:
    """Four edges of a control plane that has no Envoy."""
    for number in range(3):
        address = (f"{unaided.network}.{240 + number}", 15000)
        config = bootstrap(f"other-{number}", "edge", edge_metadata(), unaided.xds, address)
        unaided.start_envoy(f"other-{number}", config)
    until(lambda: len(edges(unaided)) == 4 and settled(unaided, "listener"), 20, "four edges")
    return unaided


@pytest.mark.parametrize(
    ("kind", "broken", "text", "good"),
    [
        ("listener", BROKEN, "fill timer must be >= 50ms", stat_prefix("after")),
        (
            "cluster",
            connect_timeout("file///sc-A|base", "-3s"),
            "Expected positive duration",
            connect_timeout("file///sc-A|base", "4s"),
        ),
    ],
    ids=["listener", "cluster"],
)
def test_without_an_envoy_of_its_own_the_trial_holds_what_edges_reject(
    four: Mesh, kind: str, broken: dict[str, Any], text: str, good: dict[str, Any]
) -> None:
    """Two edges reject it; the other two keep the last good one and never get it."""
    answer = put(four, broken)
    assert answer.status == 200, answer.body
    until(lambda: any(one["held"] for one in edges(four)), 20, "the trial to end")
    rejecting = [one for one in edges(four) if one["types"][kind]["nack"]]
    assert len(rejecting) == 2
    assert all(text in one["types"][kind]["nack"]["message"] for one in rejecting)
    assert statuses(four, 4) == [200] * 4
    assert put(four, good).status == 200
    until(lambda: settled(four, kind), 20, "the good one everywhere")
    assert not any(one["types"][kind]["nack"] or one["held"] for one in edges(four))
    assert statuses(four, 4) == [200] * 4


def test_taking_back_a_change_tries_patches_too(mesh: Mesh) -> None:
    """The patch was good when it was stored; what it changes has gone since."""
    assert put(mesh, connect_timeout("file///sc-A|base")).status == 200
    assert put(mesh).status == 200
    without = mesh.rest.get("/v1/revisions?limit=1")["items"][0]["revision"]
    mesh.rest.done("DELETE", "/v1/gateways/edge/routes/a")
    answer = mesh.rest.call("POST", f"/v1/revisions/{without}/undo")
    assert answer.status == 422, answer.body
    (error,) = answer.json["errors"]
    assert (error["document"], error["field"]) == ("Gateway/edge", "envoy_patches[0]")
    mesh.apply(route("a", "sc-A"))
    assert mesh.rest.call("POST", f"/v1/revisions/{without}/undo").status == 200
    until(lambda: '"connect_timeout": "3s"' in mesh.config_dump(mesh.edge_admin), 20, "the time again")
    assert put(mesh).status == 200


def test_patches_have_to_be_allowed(new_mesh: Callable[..., Mesh]) -> None:
    mesh = new_mesh()
    mesh.start(envoys=False)
    answer = put(mesh, stat_prefix("mine"))
    assert answer.status == 422
    error = answer.json["errors"][0]
    assert error["field"] == "envoy_patches"
    assert "--allow-envoy-patches" in error["remedy"]
