"""HTTPRoutes of a real API server as base routes of `laneway serve --gateway-api`, and their status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.ports import wait_for
from tests.cli.served import Served, served
from tests.kubernetes import gateway_api
from tests.kubernetes.gateway_api import CONTROLLER, Ingress, conditions, to
from tests.kubernetes.server import MERGE, KubeServer
from tests.kubernetes.tools import GRAY, Admin

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

YAML = {"Content-Type": "application/yaml"}
GATEWAY = "kind: Gateway\nname: edge\nlisteners: [{port: 8080}]\n"
LANES = """
{kind: LaneGroup, name: order-flow, gateway: edge, applications: [spring-cloud-a]}
---
kind: Lane
group: order-flow
name: gray
tag: gray
routes: [ROUTE]
rule: {conditions: [{source: header, name: canary, operator: "==", value: gray}]}
"""
HTTP: dict[str, Any] = {"name": "http", "port": 80, "protocol": "HTTP"}
ACCEPTED = {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


@pytest.fixture
async def ingress(shared: KubeServer, admin: Admin) -> AsyncIterator[Ingress]:
    await asyncio.to_thread(gateway_api.install, shared)
    await admin.service("sc-a", {"app": "a"})
    for name, ip, labels in (("a", "10.0.9.1", {}), ("a-gray", "10.0.9.2", GRAY)):
        await admin.pod(name, ip, {"app": "a", "msePilotCreateAppName": "spring-cloud-a", **labels})
    await admin.service("sc-b", {"app": "b"})
    made = Ingress(shared, admin.namespace)
    name = f"laneway-{admin.namespace}"
    await asyncio.to_thread(made.gateway_class, name)
    yield made
    # Gateways of other tests have the same name, and the oldest one counts.
    await asyncio.to_thread(shared.call, "DELETE", f"{gateway_api.API}/v1/gatewayclasses/{name}")


@pytest.fixture
def one(shared: KubeServer, ingress: Ingress, tmp_path: Path) -> Iterator[Served]:
    """A control plane that takes HTTPRoutes, with the gateway edge."""
    arguments = ["--kubernetes-config", str(shared.kubeconfig), "--gateway-api"]
    with served(tmp_path, *arguments) as started:
        started.http.post("/v1/apply", content=GATEWAY, headers=YAML).raise_for_status()
        yield started
        assert "Traceback" not in started.log.read_text()


def routes(one: Served) -> dict[str, dict[str, Any]]:
    return {found["name"]: found for found in one.http.get("/v1/gateways/edge/routes").json()["items"]}


def explain(one: Served, host: str, path: str, **headers: str) -> dict[str, Any]:
    asked = {"gateway": "edge", "method": "GET", "host": host, "path": path, "headers": list(headers.items())}
    return one.http.post("/v1/explain", json=asked).json()


def test_an_http_route_is_a_base_route_that_lanes_take(one: Served, ingress: Ingress) -> None:
    namespace, of = ingress.namespace, f"laneway-{ingress.namespace}"
    ingress.gateway("edge", of, {**HTTP, "hostname": "*.example.com"})
    ingress.route(
        "shop",
        parentRefs=[{"name": "edge"}, {"name": "of-somebody-else"}],
        hostnames=["shop.example.com", "shop.example.org"],
        rules=[{"matches": [{"path": {"type": "PathPrefix", "value": "/a"}}], "backendRefs": to("sc-a")}],
    )
    name = f"httproute.{namespace}.shop.00"
    wait_for(lambda: ingress.said("shop") == [ACCEPTED], one.process)
    assert routes(one)[name]["service"] == f"kubernetes/{namespace}//sc-a"
    assert routes(one)[name]["match"] == {"hosts": ["shop.example.com"], "path": {"prefix": "/a"}}
    # Lanes take it as any other route.
    one.http.post("/v1/apply", content=LANES.replace("ROUTE", name), headers=YAML).raise_for_status()
    found = explain(one, "shop.example.com", "/a/x", canary="gray")
    assert (found["route"], found["lane"]) == (name, "gray")
    assert found["hops"][0]["instances"] == ["10.0.9.2:20001"]
    # The Gateway and its class have a status, too.
    gateway = ingress.get("gateways", "edge")
    told = conditions(gateway["status"]["conditions"], gateway["metadata"]["generation"])
    assert told == {"Accepted": ("True", "Accepted"), "Programmed": ("True", "Programmed")}
    listener = gateway["status"]["listeners"][0]
    assert (listener["name"], listener["attachedRoutes"]) == ("http", 1)
    assert listener["supportedKinds"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}]
    accepted = ingress.server.call("GET", f"{gateway_api.API}/v1/gatewayclasses/{of}")
    assert conditions(accepted["status"]["conditions"], 1)["Accepted"] == ("True", "Accepted")
    # What another controller says of the same HTTPRoute stays.
    status = ingress.get("httproutes", "shop")["status"]
    of_others = {
        "controllerName": "example.com/other",
        "parentRef": {"name": "of-somebody-else"},
        "conditions": [{**status["parents"][0]["conditions"][0], "reason": "Other"}],
    }
    path = ingress.path("httproutes", "shop") + "/status"
    body = {"status": {"parents": [of_others, *status["parents"]]}}
    ingress.server.call("PATCH", path, body, MERGE)
    # A change moves the generation that was observed.
    ingress.change("httproutes", "shop", {"hostnames": ["new.example.com"]})
    wait_for(lambda: ingress.said("shop") == [ACCEPTED], one.process)
    assert routes(one)[name]["match"]["hosts"] == ["new.example.com"]
    parents = ingress.get("httproutes", "shop")["status"]["parents"]
    assert [parent["controllerName"] for parent in parents] == ["example.com/other", CONTROLLER]
    # A lane still names the route of an HTTPRoute that is deleted: it stays until the lane is gone.
    ingress.delete("httproutes", "shop")
    wait_for(lambda: one.said("cannot be stored"), one.process)
    assert name in routes(one)
    one.http.delete("/v1/lane-groups/order-flow").raise_for_status()
    wait_for(lambda: name not in routes(one), one.process)
    # Laneway's own routes are left alone.
    own = {"service": f"kubernetes/{namespace}//sc-a", "match": {"path": {"prefix": "/own"}}}
    one.http.put("/v1/gateways/edge/routes/own", json=own).raise_for_status()
    ingress.route("last", parentRefs=[{"name": "edge"}], rules=[{"backendRefs": to("sc-a")}])
    wait_for(lambda: ingress.said("last") == [ACCEPTED], one.process)
    assert routes(one).keys() == {"own", f"httproute.{namespace}.last.00"}
    assert routes(one)[f"httproute.{namespace}.last.00"]["match"]["hosts"] == ["*.example.com"]


def test_what_cannot_be_said_gets_a_condition_and_the_rest_goes_on(one: Served, ingress: Ingress) -> None:
    namespace, of = ingress.namespace, f"laneway-{ingress.namespace}"
    ingress.gateway("edge", of, HTTP, {"name": "tcp", "port": 9000, "protocol": "TCP"})
    ingress.gateway("nobody", of, HTTP)
    edge = [{"name": "edge"}]
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": to("sc-b")[0]}}
    ingress.route(
        "partly",
        parentRefs=edge,
        rules=[
            {"matches": [{"path": {"value": "/good"}}], "backendRefs": to("sc-a")},
            {"matches": [{"path": {"value": "/copy"}}], "filters": [mirror], "backendRefs": to("sc-a")},
            {"matches": [{"path": {"value": "/two"}}], "backendRefs": to("sc-a") + to("sc-b")},
        ],
    )
    ingress.route("wholly", parentRefs=edge, rules=[{"filters": [mirror], "backendRefs": to("sc-a")}])
    ingress.route(
        "lost",
        parentRefs=edge,
        rules=[{"matches": [{"path": {"value": "/lost"}}], "backendRefs": to("sc-none")}],
    )
    ingress.route("unknown", parentRefs=[{"name": "nobody"}], rules=[{"backendRefs": to("sc-a")}])
    ingress.route("astray", parentRefs=[{"name": "edge", "sectionName": "none"}], hostnames=["x.org"])
    partly = {**ACCEPTED, "PartiallyInvalid": ("True", "UnsupportedValue")}
    unknown = {"Accepted": ("False", "Pending"), "ResolvedRefs": ("True", "ResolvedRefs")}
    expected = {
        "partly": partly,
        "wholly": {**ACCEPTED, "Accepted": ("False", "UnsupportedValue")},
        "lost": {**ACCEPTED, "ResolvedRefs": ("False", "BackendNotFound")},
        "unknown": unknown,
        "astray": {**ACCEPTED, "Accepted": ("False", "NoMatchingParent")},
    }
    for name, said in expected.items():
        wait_for(lambda name=name, said=said: ingress.said(name) == [said], one.process)
    assert ingress.message("partly", "PartiallyInvalid").startswith(
        "Dropped Rule 1: the filter RequestMirror"
    )
    start = f"httproute.{namespace}"
    assert routes(one).keys() == {f"{start}.partly.00", f"{start}.lost.00"}
    assert routes(one)[f"{start}.lost.00"]["respond"]["status"] == 500
    said = {one["name"]: one for one in ingress.get("gateways", "edge")["status"]["listeners"]}
    assert conditions(said["tcp"]["conditions"], 1)["Accepted"] == ("False", "UnsupportedProtocol")
    assert said["http"]["attachedRoutes"] == 3
    assert "apply one" in ingress.get("gateways", "nobody")["status"]["conditions"][0]["message"]
    # The Service comes.
    body = {"metadata": {"name": "sc-none"}, "spec": {"ports": [{"port": 20001}]}}
    ingress.server.call("POST", f"/api/v1/namespaces/{namespace}/services", body)
    wait_for(lambda: ingress.said("lost") == [ACCEPTED], one.process)
    assert routes(one)[f"{start}.lost.00"]["service"] == f"kubernetes/{namespace}//sc-none"
    # Another gateway of Laneway is defined, and its Gateway counts.
    nobody = GATEWAY.replace("edge", "nobody").replace("8080", "8081")
    one.http.post("/v1/apply", content=nobody, headers=YAML).raise_for_status()
    wait_for(lambda: ingress.said("unknown") == [ACCEPTED], one.process)
    # Nothing is written when nothing changes.
    version = ingress.get("httproutes", "partly")["metadata"]["resourceVersion"]
    revision = one.http.get("/v1/revisions").json()["items"][0]["revision"]
    ingress.route("one-more", parentRefs=edge, hostnames=["more.org"], rules=[{"backendRefs": to("sc-a")}])
    wait_for(lambda: ingress.said("one-more") == [ACCEPTED], one.process)
    assert ingress.get("httproutes", "partly")["metadata"]["resourceVersion"] == version
    assert one.http.get("/v1/revisions").json()["items"][0]["revision"] == revision + 1


def test_namespaces_need_leave_on_both_ends(one: Served, ingress: Ingress) -> None:
    namespace, of = ingress.namespace, f"laneway-{ingress.namespace}"
    other = f"{namespace}-other"
    ingress.server.call("POST", "/api/v1/namespaces", {"metadata": {"name": other, "labels": {"team": "x"}}})
    selector = {"from": "Selector", "selector": {"matchLabels": {"team": "x"}}}
    ingress.gateway("edge", of, {**HTTP, "allowedRoutes": {"namespaces": {"from": "Same"}}})
    parent = [{"name": "edge", "namespace": namespace}]
    ingress.route("far", other, parentRefs=parent, rules=[{"backendRefs": to("sc-a", namespace=namespace)}])
    denied = {"Accepted": ("False", "NotAllowedByListeners"), "ResolvedRefs": ("False", "RefNotPermitted")}
    wait_for(lambda: ingress.said("far", other) == [denied], one.process)
    assert not routes(one)
    ingress.change("gateways", "edge", {"listeners": [{**HTTP, "allowedRoutes": {"namespaces": selector}}]})
    denied = {**ACCEPTED, "ResolvedRefs": ("False", "RefNotPermitted")}
    wait_for(lambda: ingress.said("far", other) == [denied], one.process)
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "far"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": other}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
    path = f"{gateway_api.API}/v1beta1/namespaces/{namespace}/referencegrants"
    ingress.server.call("POST", path, grant)
    wait_for(lambda: ingress.said("far", other) == [ACCEPTED], one.process)
    assert routes(one)[f"httproute.{other}.far.00"]["service"] == f"kubernetes/{namespace}//sc-a"
