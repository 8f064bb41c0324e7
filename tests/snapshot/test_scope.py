"""What sidecars are sent, at once or on demand, and what a change makes of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from controlplane.model.definitions import Definitions
from controlplane.model.documents import Gateway, Lane, LaneGroup
from controlplane.plan.lanes import enabled_lanes
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Instance, Service
from controlplane.snapshot.nodes import parse_node
from controlplane.snapshot.publisher import Publisher
from controlplane.snapshot.sidecars import SidecarView
from controlplane.xds.delta import DeltaSubscription
from controlplane.xds.messages import DeltaRequest, DeltaResponse
from controlplane.xds.resource import CLUSTER, ENDPOINT, ROUTE, VIRTUAL_HOST
from controlplane.xds.sotw import SotwSubscription
from controlplane.xds.view import View

ROUTES = "outbound/proxy"


class Mesh:
    """A publisher with services that a test changes."""

    def __init__(self, sent_at_once: int) -> None:
        self.publisher = Publisher(sent_at_once)
        self.services: dict[str, Service] = {}
        lane = Lane(group="g", name="gray", tag="gray", rule={"conditions": [CONDITION]})  # type: ignore[arg-type]
        gateway = Gateway(name="edge", listeners=[{"port": 8080}])  # type: ignore[list-item]
        group = LaneGroup(name="g", gateway="edge", applications=("app-b", "app-c"))
        self.definitions = Definitions.of([gateway, group, lane])

    def put(self, name: str, *places: tuple[str, str | None]) -> None:
        made = tuple(Instance(address, 80, tag, f"app-{name.lower()}") for address, tag in places)
        self.services = {**self.services, f"file///{name}": Service(f"file///{name}", "file", name, made)}
        self.publish()

    def remove(self, name: str) -> None:
        self.services = {id_: one for id_, one in self.services.items() if one.name != name}
        self.publish()

    def resolve(self, name: str) -> str:
        if f"file///{name}" in self.services:
            return f"file///{name}"
        raise LookupError(name)

    def publish(self) -> None:
        known = enabled_lanes(self.definitions)
        self.publisher.publish(
            self.definitions, Deployed(known, frozenset(known)), self.services, self.resolve
        )

    def view(self, incremental: bool = True, **metadata: object) -> View:
        node = parse_node("A", {"role": "sidecar", "address": "10.9.9.9", **metadata}, None)
        return self.publisher.view(node, incremental)


CONDITION = {"source": "header", "name": "canary", "operator": "==", "value": "gray"}


@pytest.fixture
def large() -> Mesh:
    """Everything is on demand."""
    mesh = Mesh(0)
    mesh.put("B", ("10.0.0.1", None), ("10.0.0.2", "gray"))
    mesh.put("C", ("10.0.0.3", None))
    return mesh


class Hosts:
    """An incremental client's virtual hosts: full name -> domains."""

    def __init__(self, view: View, names: Iterable[str] = (), had: dict[str, str] | None = None) -> None:
        self.subscription = DeltaSubscription(VIRTUAL_HOST, view)
        self.versions = dict(had or {})
        request = DeltaRequest(type_url=VIRTUAL_HOST, resource_names_subscribe=names)
        request.initial_resource_versions.update(self.versions)
        self.subscription.receive(request)
        self.bodiless: set[str] = set()
        self.aliases: dict[str, set[str]] = {}

    def ask(self, *hosts: str) -> set[str]:
        names = [f"{ROUTES}/{host}" for host in hosts]
        self.subscription.receive(DeltaRequest(type_url=VIRTUAL_HOST, resource_names_subscribe=names))
        return self.take()

    def take(self) -> set[str]:
        """What the next response brings, by the part of the name that tells."""
        raw = self.subscription.compose()
        if raw is None:
            return set()
        response = DeltaResponse.FromString(b"".join(raw))
        got: set[str] = set()
        for one in response.resources:
            got.add(one.name.removeprefix(f"{ROUTES}/"))
            if one.HasField("resource"):
                self.versions[one.name] = one.version
                self.aliases[one.name] = set(one.aliases)
            else:
                self.bodiless.add(one.name)
        for name in response.removed_resources:
            del self.versions[name]
            got.add(f"-{name.removeprefix(f'{ROUTES}/')}")
        return got


B, C = "file%2F%2F%2FB", "file%2F%2F%2FC"


def clusters(view: View) -> set[str]:
    return {name for part in view.of(CLUSTER) for name in part.names() if "/" in name}


def test_nothing_is_there_before_it_is_asked_for(large: Mesh) -> None:
    view = large.view()
    hosts = Hosts(view)
    assert hosts.take() == {"~elsewhere"}  # Envoy waits until an answer brings something
    assert not clusters(view)
    assert hosts.ask("b:8080") == {B}
    assert hosts.aliases[f"{ROUTES}/{B}"] == {f"{ROUTES}/b:8080"}
    assert clusters(view) == {"file///B|base", "file///B|app-b|gray", "file///B|app-b|gray>base"}
    assert hosts.ask("10.0.0.2:80") == {B}


def test_who_knows_a_service_is_told_of_its_instances_and_nobody_else(large: Mesh) -> None:
    knows, other = Hosts(large.view()), Hosts(large.view())
    knows.take(), other.take()
    knows.ask("b"), other.ask("c")
    large.put("B", ("10.0.0.1", None), ("10.0.0.2", "gray"), ("10.0.0.7", None))
    assert (knows.take(), other.take()) == ({B}, set())
    large.remove("B")
    assert (knows.take(), other.take()) == ({f"-{B}"}, set())


def test_a_stranger_that_becomes_a_service(large: Mesh) -> None:
    view = large.view()
    hosts = Hosts(view)
    hosts.take()
    assert hosts.ask("d", "10.0.0.8:80") == {"d", "10.0.0.8:80"}
    assert hosts.bodiless == {f"{ROUTES}/d", f"{ROUTES}/10.0.0.8:80"}
    large.put("E", ("10.0.0.8", None))
    assert hosts.take() == {"file%2F%2F%2FE"}
    assert "file///E|base" in clusters(view)


def test_an_address_that_moves_to_another_service(large: Mesh) -> None:
    view = large.view()
    hosts = Hosts(view)
    hosts.take()
    hosts.ask("10.0.0.3:80")
    large.put("C", ("10.0.0.4", None))
    large.put("B", ("10.0.0.1", None), ("10.0.0.3", None))
    assert hosts.take() == {B, C}
    assert "file///B|base" in clusters(view)


def test_an_address_of_two_services(large: Mesh) -> None:
    view = large.view()
    hosts = Hosts(view)
    hosts.take()
    large.put("C", ("10.0.0.1", None))
    assert hosts.ask("10.0.0.1:80") == {"shared%2F10.0.0.1:80", B, C}
    assert {"file///B|base", "file///C|base"} <= clusters(view)
    large.put("C", ("10.0.0.3", None))
    assert hosts.take() == {"-shared%2F10.0.0.1:80", B, C}


def test_who_comes_back_keeps_what_it_has(large: Mesh) -> None:
    first = large.view()
    hosts = Hosts(first)
    hosts.take()
    hosts.ask("b")
    had = clusters(first)
    again = Mesh(0)
    again.services = large.services
    again.publish()
    view = again.view()
    request = DeltaRequest(type_url=CLUSTER)
    request.initial_resource_versions.update(
        {one.name: one.version for part in first.of(CLUSTER) for one in part}
    )
    subscription = DeltaSubscription(CLUSTER, view)
    subscription.receive(request)
    assert subscription.compose() is None  # nothing to send, nothing to remove
    assert clusters(view) == had
    assert Hosts(view, [f"{ROUTES}/b", f"{ROUTES}/nobody"], hosts.versions).take() == {"nobody"}


def test_calls_are_all_there_is(large: Mesh) -> None:
    view = large.view(calls=["C", "later"])
    hosts = Hosts(view)
    hosts.take()
    assert hosts.ask("b", "later") == {"b", "later"}
    assert hosts.ask("c") == {C}
    large.put("later", ("10.0.0.9", None))
    assert hosts.take() == {"file%2F%2F%2Flater"}


def test_a_stream_that_ends_leaves_nothing(large: Mesh) -> None:
    node = parse_node("A", {"role": "sidecar", "address": "10.9.9.9"}, None)
    view = large.publisher.view(node)
    Hosts(view).ask("b", "nobody")
    assert isinstance(view, SidecarView)
    scope = view.scope
    assert scope.asked
    assert scope.loaded
    view.release()
    assert not scope.asked
    assert not scope.loaded


def test_small_is_sent_at_once_and_follows() -> None:
    mesh = Mesh(2_000)
    mesh.put("B", ("10.0.0.1", None))
    mesh.put("C", ("10.0.0.3", None))
    hosts, called = Hosts(mesh.view()), Hosts(mesh.view(calls=["C"]))
    assert hosts.take() == {"~elsewhere", B, C}
    assert called.take() == {"~elsewhere", C}
    mesh.put("B", ("10.0.0.1", None), ("10.0.0.3", None))
    assert hosts.take() == {C, "shared%2F10.0.0.3:80"}
    assert called.take() == set()
    mesh.remove("C")
    assert hosts.take() == {B, f"-{C}", "-shared%2F10.0.0.3:80"}
    assert called.take() == {f"-{C}"}


def test_a_state_of_the_world_client_gets_one_route_configuration(large: Mesh) -> None:
    view = large.view(incremental=False)
    assert not view.of(VIRTUAL_HOST)
    (routes,) = view.of(ROUTE)[0]
    for text in (b"10.0.0.3:80", b"file///B|app-b|gray>base", b"~elsewhere"):
        assert text in routes.body
    assert clusters(view) >= {"file///C|base"}
    before = routes.version
    large.put("C", ("10.0.0.4", None))
    (routes,) = view.of(ROUTE)[0]
    assert routes.version != before
    assert SotwSubscription(ENDPOINT, view).parts[0].get("file///C|base") is not None
