"""Who may do what on the admin port of a real server: every path with every role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from fastapi import APIRouter

from controlplane.admin.permissions import Need, complete, table
from controlplane.auth.rights import rights_of
from controlplane.auth.tokens import Token, digest_of
from tests.cli.served import Served, served

DEFINITIONS = """
{kind: Gateway, name: edge, listeners: [{port: 8080}]}
---
{kind: Route, gateway: edge, name: a, match: {path: {prefix: /a}}, service: sc-A}
---
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [a]}
---
{kind: LaneGroup, name: spring-sale, gateway: edge, applications: [b]}
---
{kind: Lane, group: order-flow, name: gray, tag: gray,
  rule: {conditions: [{source: header, name: c, operator: exists}]}}
---
{kind: Lane, group: spring-sale, name: sale, tag: sale,
  rule: {conditions: [{source: header, name: d, operator: exists}]}}
"""
OWN = "/v1/lane-groups/order-flow/lanes"
OTHER = "/v1/lane-groups/spring-sale/lanes"
LANE = {"tag": "new", "rule": {"conditions": [{"source": "header", "name": "e", "operator": "exists"}]}}
ROLES = {
    "viewer": ["viewer"],
    "operator": ["operator:order-flow", "operator:absent"],
    "stranger": ["operator:spring-sale"],
    "admin": ["admin"],
}
"""Nothing is named `absent`: so that calls that are let through change nothing."""
MAY = {
    Need.OPEN: {"nobody", *ROLES},
    Need.VIEW: {*ROLES},
    Need.OPERATE: {"operator", "stranger", "admin"},
    Need.GROUP: {"operator", "admin"},
    Need.DOCUMENTS: {"operator", "stranger", "admin"},
    Need.ADMIN: {"admin"},
}
YAML = {"content-type": "application/yaml"}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("roles")
    tokens = folder / "tokens"
    tokens.touch(0o600)
    lines = [Token(name, digest_of(f"secret-of-{name}"), rights_of(roles)) for name, roles in ROLES.items()]
    tokens.write_text("".join(one.line() + "\n" for one in lines))
    definitions = folder / "definitions.yaml"
    definitions.write_text(DEFINITIONS)
    with served(folder, "--admin-tokens", str(tokens), "--definitions", str(definitions)) as one:
        yield one


def call(control: Served, role: str, method: str, path: str, **more: Any) -> tuple[int, Any]:
    """Status, and the body where it is JSON. Of an answer without end, only the status."""
    headers = more.pop("headers", {})
    if role != "nobody":
        headers = {**headers, "authorization": f"Bearer secret-of-{role}"}
    with control.http.stream(method, path, headers=headers, **more) as answer:
        if "json" in answer.headers.get("content-type", ""):
            answer.read()
            return answer.status_code, answer.json()
        return answer.status_code, None


def exported(control: Served) -> str:
    headers = {"authorization": "Bearer secret-of-viewer"}
    return control.http.get("/v1/export", headers=headers).text


OPERATIONS = [(method, path, need) for path, methods in table().items() for method, need in methods.items()]


@pytest.mark.parametrize("role", ["nobody", *ROLES])
def test_every_path(control: Served, role: str) -> None:
    before = exported(control)
    for method, template, need in OPERATIONS:
        path = re.sub(r"\{[a-z:]*\}", "absent", template)
        status, body = call(control, role, method, path)
        said = f"{role}: {method} {path} needs {need.value}: {status} {body}"
        if role in MAY[need]:
            assert status not in (401, 403, 500), said
        else:
            assert status == (401 if role == "nobody" else 403), said
            assert body["detail"], said
    assert exported(control) == before


def test_whoever_changes_something_needs_more_than_to_read() -> None:
    reading = {("POST", "/v1/explain"), ("POST", "/v1/session"), ("DELETE", "/v1/session")}
    for method, path, need in OPERATIONS:
        if method != "GET" and (method, path) not in reading:
            assert need not in (Need.OPEN, Need.VIEW), f"{method} {path}"


def test_the_server_has_the_paths_of_the_table(control: Served) -> None:
    described = control.http.get("/openapi.json").json()["paths"]
    served_paths = {(method.upper(), path) for path, methods in described.items() for method in methods}
    plain = {(method, re.sub(r":path\}", "}", path)) for method, path, _ in OPERATIONS}
    pages = ("/", "/assets/{name}", "/openapi.json", "/docs", "/docs/start.js", "/docs/{name}")
    hidden = {("GET", path) for path in pages}
    assert served_paths == plain - hidden


def test_a_path_without_an_entry_is_not_served() -> None:
    routes = APIRouter()
    routes.add_api_route("/v1/new", lambda: None, methods=["POST"])
    with pytest.raises(LookupError, match=r"POST /v1/new has no entry in controlplane/admin/permissions\.py"):
        complete(routes.routes)
    with pytest.raises(LookupError, match=r"GET /healthz is in TABLE .* not served"):
        complete([])


def documents(*names: str, **more: Any) -> list[Any]:
    """Those documents of DEFINITIONS, and a lane `more`."""
    known = [one for one in yaml.safe_load_all(DEFINITIONS) if one and one["name"] in names]
    return [*known, *([{"kind": "Lane", **LANE, **more}] if more else [])]


def test_an_operator_applies_only_what_belongs_to_its_groups(control: Served) -> None:
    def apply(role: str, what: list[Any], query: str = "") -> tuple[int, Any]:
        return call(control, role, "POST", f"/v1/apply{query}", json=what)

    before = exported(control)
    own = documents("edge", "a", "order-flow", "spring-sale", "sale", group="order-flow", name="new")
    foreign = documents(group="spring-sale", name="new")
    wider = [{"kind": "LaneGroup", "name": "order-flow", "gateway": "edge", "applications": ["a", "b"]}]
    status, body = apply("operator", own, "?dry_run=true")
    assert (status, body["created"]) == (200, ["Lane/new"]), "what stays as it is needs no role"
    for what, document in (
        (foreign, "Lane/new"),
        ([*own, {"kind": "Application", "name": "x", "services": ["sc-X"]}], "Application/x"),
        (wider, "LaneGroup/order-flow"),
        ([{"kind": "Gateway", "name": "edge", "listeners": [{"port": 9}]}], "Gateway/edge"),
        ([{**documents("sale")[0], "enabled": False}], "Lane/sale"),
    ):
        for query in ("", "?dry_run=true"):
            status, body = apply("operator", what, query)
            assert status == 403, body
            assert body["errors"][0]["document"] == document
            assert "operator has the role operator of absent, order-flow" in body["detail"]
    assert exported(control) == before
    assert apply("operator", own)[0] == 200
    assert call(control, "admin", "DELETE", f"{OWN}/new")[0] == 204
    assert exported(control) == before


def test_an_operator_undoes_only_changes_of_its_groups(control: Served) -> None:
    def revision() -> int:
        return call(control, "viewer", "GET", "/v1/revisions")[1]["items"][0]["revision"]

    before = exported(control)
    assert call(control, "admin", "PUT", f"{OTHER}/one", json=LANE)[0] == 201
    foreign = revision()
    assert call(control, "operator", "PUT", f"{OWN}/two", json=LANE)[0] == 201
    own = revision()
    assert call(control, "operator", "POST", f"/v1/revisions/{foreign}/undo")[0] == 403
    assert call(control, "viewer", "POST", f"/v1/revisions/{own}/undo")[0] == 403
    status, body = call(control, "operator", "POST", f"/v1/revisions/{own}/undo")
    assert (status, body["who"]) == (200, "operator")
    assert call(control, "stranger", "POST", f"/v1/revisions/{foreign}/undo")[0] == 200
    assert exported(control) == before


def test_an_operator_switches_and_deletes_its_lanes(control: Served) -> None:
    before = exported(control)
    for lane, path in (("gray", OWN), ("sale", OTHER)):
        expected = 200 if path == OWN else 403
        for word in ("disable", "enable"):
            assert call(control, "operator", "POST", f"{path}/{lane}/{word}")[0] == expected
    assert call(control, "operator", "DELETE", f"{OTHER}/sale")[0] == 403
    assert call(control, "operator", "PUT", f"{OWN}/sale", json=LANE)[0] == 409, "the name is taken elsewhere"
    assert exported(control) == before
    assert call(control, "operator", "DELETE", f"{OWN}/gray")[0] == 204
    lane = documents("gray")[0]
    assert call(control, "operator", "PUT", f"{OWN}/gray", json=lane)[0] == 201
    assert exported(control) == before


def test_metrics_and_probes(control: Served) -> None:
    with httpx.Client(base_url=control.http.base_url, trust_env=False) as plain:
        assert plain.get("/healthz").status_code == plain.get("/readyz").status_code == 200
        assert plain.get("/metrics").status_code == 401
    assert control.metric("laneway_revision", authorization="Bearer secret-of-viewer") > 0
