"""Who may not call an application is told of none of its clusters and endpoints, whatever it asks for."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from envoy.config.route.v3 import route_components_pb2, route_pb2

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Application, Gateway, Lane, LaneGroup, Route
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.preview import explain
from controlplane.plan.request import Request
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Instance, Service
from controlplane.snapshot.nodes import parse_node
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.view import NodeView
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, VIRTUAL_HOST

SECRET_ADDRESS = "10.0.0.77"
CONDITION = {"source": "header", "name": "canary", "operator": "==", "value": "gray"}


class Mesh:
    """Application `bank` has the service `sc-bank`, application `shop` the service `sc-shop`."""

    def __init__(self, sent_at_once: int = 2_000) -> None:
        self.publisher = Publisher(sent_at_once)
        self.callers: tuple[str, ...] | None = None
        made = {
            name: (Instance(address, 80, None, name), Instance(address, 81, "gray", name))
            for name, address in (("bank", SECRET_ADDRESS), ("shop", "10.0.0.1"))
        }
        self.services = {
            f"file///sc-{name}": Service(f"file///sc-{name}", "file", f"sc-{name}", instances)
            for name, instances in made.items()
        }
        self.publish()

    def publish(self, *callers: str) -> None:
        gateways = [Gateway(name=name, listeners=[{"port": 8080}]) for name in ("edge", "other")]  # type: ignore[list-item]
        routes = [Route(gateway=one.name, name="a", service="sc-bank") for one in gateways]
        group = LaneGroup(name="g", gateway="edge", applications=("bank", "shop"))
        lane = Lane(group="g", name="gray", tag="gray", rule={"conditions": [CONDITION]})  # type: ignore[arg-type]
        bank = [Application(name="bank", callers=callers)] if callers else []
        definitions = Definitions.of([*gateways, *routes, group, lane, *bank])
        known = enabled_lanes(definitions)
        self.publisher.publish(definitions, Deployed(known, frozenset(known)), self.services, self._resolve)

    def _resolve(self, name: str) -> str:
        if f"file///{name}" in self.services:
            return f"file///{name}"
        raise LookupError(name)

    def view(self, role: str, cluster: str, incremental: bool = True, **metadata: object) -> NodeView:
        if role == "sidecar":
            metadata["address"] = "10.9.9.9"
        return self.publisher.view(parse_node(cluster, {"role": role, **metadata}, None), incremental)


def names(view: NodeView, type_url: str) -> set[str]:
    return {one.name for part in view.of(type_url) for one in part}


def content(view: NodeView) -> Iterator[bytes]:
    for parts in view.collections.values():
        for part in parts:
            for one in part:
                yield one.body


def told(view: NodeView) -> bool:
    """Whether a client can get at the instances, or at the clusters, of the bank."""
    found = names(view, ENDPOINT) | names(view, CLUSTER)
    named = any(name.startswith("file///sc-bank") for name in found)
    at = any(SECRET_ADDRESS.encode() in body for body in content(view))
    assert named == at
    return at


def host(view: NodeView, incremental: bool) -> route_components_pb2.VirtualHost:
    if incremental:
        found = [one for part in view.of(VIRTUAL_HOST) for one in part if "bank" in one.name]
        return route_components_pb2.VirtualHost.FromString(found[0].body)
    whole = [one for part in view.of(ROUTE) for one in part if one.name == "outbound/proxy"]
    hosts = route_pb2.RouteConfiguration.FromString(whole[0].body).virtual_hosts
    return next(one for one in hosts if "bank" in one.name)


@pytest.mark.parametrize("incremental", [True, False])
@pytest.mark.parametrize("calls", [None, ["sc-bank"]])
def test_a_sidecar_is_told_that_it_may_not_call(incremental: bool, calls: list[str] | None) -> None:
    mesh = Mesh()
    mesh.publish("till", "gateway/edge")
    metadata = {} if calls is None else {"calls": calls}
    view = mesh.view("sidecar", "shop", incremental, **metadata)
    assert not told(view)
    denied = host(view, incremental)
    assert set(denied.domains) >= {"sc-bank", "sc-bank:*"}
    answers = [one.direct_response.status for one in denied.routes]
    assert answers == [403, 403]
    headers = {one.header.key: one.header.value for one in denied.routes[-1].response_headers_to_add}
    assert headers == {"content-type": "application/problem+json", "x-laneway-reason": "caller-not-allowed"}
    for caller in ("till", "bank"):
        assert told(mesh.view("sidecar", caller, incremental, **metadata)), caller


def test_on_demand_nothing_is_loaded_either() -> None:
    mesh = Mesh(sent_at_once=-1)
    mesh.publish("till")
    view = mesh.view("sidecar", "shop")
    view.wanted(VIRTUAL_HOST, ["outbound/proxy/sc-bank", f"outbound/proxy/{SECRET_ADDRESS}:80"])
    view.wanted(CLUSTER, ["file///sc-bank|base"])
    assert not told(view)
    assert host(view, True).routes[-1].direct_response.status == 403
    allowed = mesh.view("sidecar", "till")
    allowed.wanted(VIRTUAL_HOST, ["outbound/proxy/sc-bank"])
    assert told(allowed)


def test_an_edge_answers_where_its_gateway_may_not_call() -> None:
    mesh = Mesh()
    mesh.publish("gateway/edge")
    assert told(mesh.view("edge", "edge"))
    other = mesh.view("edge", "other")
    assert not told(other)
    assert any(b"caller-not-allowed" in body for body in content(other))
    asked = Request("GET", "x", "/", (), "10.1.1.1")
    assert explain(mesh.publisher.plan, "edge", asked).hops != ()
    said = explain(mesh.publisher.plan, "other", asked)
    assert said.answered is not None
    assert (said.answered.status, said.hops) == (403, ())
    assert "application bank does not name gateway/other in callers" in said.decision.reason


def test_a_grpc_client_finds_no_listener() -> None:
    mesh = Mesh()
    mesh.publish("till")
    view, allowed = mesh.view("grpc", "shop"), mesh.view("grpc", "till")
    for one in (view, allowed):
        one.wanted(LISTENER, ["sc-bank", "sc-shop"])
    assert (names(view, LISTENER), told(view)) == ({"sc-shop"}, False)
    assert (names(allowed, LISTENER), told(allowed)) == ({"sc-bank", "sc-shop"}, True)


def test_a_change_of_callers_lets_those_connect_anew_whom_it_concerns() -> None:
    mesh = Mesh()
    views = {name: mesh.view("sidecar", name) for name in ("shop", "till", "bank")}
    edges = {name: mesh.view("edge", name) for name in ("edge", "other")}
    assert all(map(told, (*views.values(), *edges.values())))
    mesh.publish("till", "gateway/edge")
    assert set(mesh.publisher.stale()) == {views["shop"], edges["other"]}
    shop = mesh.view("sidecar", "shop")
    assert not told(shop)
    mesh.publish("till", "shop")
    assert shop in mesh.publisher.stale()
    assert edges["edge"] in mesh.publisher.stale()
    assert told(mesh.view("sidecar", "shop"))
    mesh.publish()
    assert views["shop"] not in mesh.publisher.stale()


def test_a_service_that_comes_to_a_closed_application_is_closed_at_once() -> None:
    mesh = Mesh()
    mesh.publish("till")
    shop, client = mesh.view("sidecar", "shop"), mesh.view("grpc", "shop")
    client.wanted(LISTENER, ["sc-shop"])
    assert "file///sc-shop|base" in names(shop, CLUSTER)
    assert names(client, LISTENER) == {"sc-shop"}
    before = mesh.services["file///sc-shop"]
    instances = (*before.instances, Instance("10.0.0.2", 80, None, "bank"))
    mesh.services = {
        **mesh.services,
        before.id: Service(before.id, "file", before.name, instances),
    }
    mesh.publish("till")
    assert not any(name.startswith("file///sc-shop") for name in names(shop, CLUSTER) | names(shop, ENDPOINT))
    assert names(client, LISTENER) == set()
    mesh.services = {**mesh.services, before.id: before}
    mesh.publish("till")
    assert "file///sc-shop|base" in names(shop, CLUSTER) & names(shop, ENDPOINT)
    assert names(client, LISTENER) == {"sc-shop"}


def everything(view: NodeView) -> dict[str, dict[str, bytes]]:
    """All that a client can ask for, by type and name."""
    return {
        kind: {one.name: one.body for part in parts for one in part}
        for kind, parts in view.collections.items()
    }


def test_what_changed_step_by_step_is_as_if_it_was_made_at_once() -> None:
    """Other instances, tags and applications, services that come and go, while clients are connected."""
    chance = random.Random(16)
    mesh = Mesh()
    mesh.publish("till")
    views = {name: mesh.view("sidecar", name) for name in ("shop", "till")}
    for _ in range(40):
        name = chance.choice(("bank", "shop", "more"))
        made = tuple(
            Instance(
                f"10.1.0.{chance.randrange(9)}",
                80 + n,
                chance.choice((None, "gray")),
                chance.choice(("bank", "shop")),
            )
            for n in range(chance.randrange(3))
        )
        service = Service(f"file///sc-{name}", "file", f"sc-{name}", made)
        mesh.services = {**mesh.services, service.id: service}
        if not made and name == "more":
            del mesh.services[service.id]
        mesh.publish("till")
        fresh = Mesh()
        fresh.services = mesh.services
        fresh.publish("till")
        for caller, view in views.items():
            assert everything(view) == everything(fresh.view("sidecar", caller)), caller


def test_what_is_closed_to_nobody_is_encoded_once() -> None:
    mesh = Mesh()
    mesh.publish("till")
    shop, till = mesh.view("sidecar", "shop"), mesh.view("sidecar", "till")
    for kind in (CLUSTER, ENDPOINT, VIRTUAL_HOST):
        of_till = {one.name: one for part in till.of(kind) for one in part}
        common = [one for part in shop.of(kind) for one in part if "sc-shop" in one.name]
        assert common
        assert all(of_till[one.name] is one for one in common)
