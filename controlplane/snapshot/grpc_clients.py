"""What proxyless gRPC clients get: built for the services that some of them ask for, shared by all.

A client asks for a listener by the name in its target (`xds:///sc-B`), and from there for routes, clusters
and endpoints of that service. Clients of one application and tag have their listeners and routes in common:
a call without any lane from a tagged instance takes that tag's lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from google.protobuf.message import Message

from controlplane.plan.lanes import LaneMeaning, default_lane
from controlplane.plan.planner import Plan, Resolve
from controlplane.plan.services import ServicePlan
from controlplane.snapshot.nodes import GrpcNode
from controlplane.translate import proxyless
from controlplane.translate.proxyless import Carriers
from controlplane.xds.resources import CLUSTER, ENDPOINT, LISTENER, ROUTE, Collection, Resource, View


def _resource(name: str, message: Message) -> Resource:
    return Resource.of(name, message.SerializeToString(deterministic=True))


@lru_cache(maxsize=1024)
def _listener(name: str, service: str) -> Resource:
    return _resource(name, proxyless.listener(name, service))


class _Kind:
    """Clients of one application and tag. `asked`: the names in their targets, with the service or None."""

    def __init__(self, node: GrpcNode) -> None:
        self.node = node
        self.users = 0
        self.asked: dict[str, str | None] = {}
        self.listeners = Collection(LISTENER)
        self.routes = Collection(ROUTE)
        self.built: dict[str, tuple[ServicePlan, Carriers, str | None]] = {}
        self.clusters: dict[str, frozenset[str]] = {}


class GrpcView(View):
    """What one client sees."""

    on_demand = True

    def __init__(self, clients: GrpcClients, kind: _Kind) -> None:
        self._clients = clients
        self.kind = kind
        super().__init__(
            {
                LISTENER: [kind.listeners],
                ROUTE: [kind.routes],
                CLUSTER: [clients.clusters],
                ENDPOINT: [clients.endpoints],
            }
        )

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        if type_url == LISTENER:
            self._clients.asked(self.kind, names)

    def follows(self, type_url: str, names: frozenset[str]) -> frozenset[str]:
        """gRPC applies routes when it has their clusters with their endpoints (gRFC A74)."""
        if type_url == CLUSTER:
            return frozenset(name for name in names if name in self._clients.clusters)
        routed = (self.kind.clusters.get(service, ()) for service in names)
        return frozenset(name for clusters in routed for name in clusters)


class GrpcClients:
    """Everything of gRPC clients; belongs to the publisher and to its thread."""

    def __init__(self) -> None:
        self.clusters = Collection(CLUSTER)
        self.endpoints = Collection(ENDPOINT)
        self._kinds: dict[tuple[str, str] | None, _Kind] = {}
        self._built: dict[str, ServicePlan] = {}
        self._plan = Plan()
        self._resolve: Resolve = lambda name: name
        self._known: Mapping[str, LaneMeaning] = {}
        self._carriers: Carriers = ()

    def publish(
        self, plan: Plan, resolve: Resolve, known: Mapping[str, LaneMeaning], carriers: Carriers
    ) -> None:
        """Bring what clients asked for up to the given state."""
        before, self._plan = self._plan, plan
        self._resolve, self._known, self._carriers = resolve, known, carriers
        if not self._kinds:
            return
        if plan.services.keys() != before.services.keys():
            for kind in self._kinds.values():
                kind.asked = {name: self._service(name) for name in kind.asked}
        self._update()

    def view(self, node: GrpcNode) -> GrpcView:
        """The view of a client that connects; `release` it."""
        key = (node.application, node.tag) if node.tag is not None else None
        kind = self._kinds.setdefault(key, _Kind(node))
        kind.users += 1
        return GrpcView(self, kind)

    def release(self, view: GrpcView) -> None:
        """Its stream ended: what nobody asks for any more is forgotten."""
        kind = view.kind
        kind.users -= 1
        if not kind.users:
            self._kinds = {key: other for key, other in self._kinds.items() if other is not kind}
            self._update_services()

    def asked(self, kind: _Kind, names: Iterable[str]) -> None:
        """A client names listeners. Names that mean no service, or several, wait until they mean one."""
        new = [name for name in names if name not in kind.asked]
        if new:
            kind.asked |= {name: self._service(name) for name in new}
            self._update()

    def _service(self, name: str) -> str | None:
        try:
            return self._resolve(name)
        except LookupError:
            return None

    def _update(self) -> None:
        self._update_services()
        for kind in self._kinds.values():
            self._update_kind(kind)

    def _update_services(self) -> None:
        asked = {s for kind in self._kinds.values() for s in kind.asked.values() if s is not None}
        plans = {s: self._plan.services[s] for s in asked if s in self._plan.services}
        for service in self._built.keys() | plans.keys():
            before, after = self._built.get(service), plans.get(service)
            if before is not after:
                _replace(self.clusters, _clusters(before), _clusters(after))
                _replace(self.endpoints, _endpoints(before), _endpoints(after))
        self._built = plans

    def _update_kind(self, kind: _Kind) -> None:
        lane = default_lane(self._known, kind.node.application, kind.node.tag)
        default = lane.name if lane is not None else None
        there = {name: id_ for name, id_ in kind.asked.items() if id_ is not None and id_ in self._built}
        kind.listeners.replace(_listener(name, service) for name, service in there.items())
        wanted = {s: (self._built[s], self._carriers, default) for s in there.values()}
        for service, inputs in wanted.items():
            if kind.built.get(service) != inputs:
                routes = proxyless.route_configuration(*inputs)
                kind.routes.put(_resource(service, routes))
                kind.clusters[service] = proxyless.routed_clusters(routes)
        for service in kind.built.keys() - wanted.keys():
            kind.routes.remove(service)
            del kind.clusters[service]
        kind.built = wanted


def _clusters(plan: ServicePlan | None) -> dict[str, Message]:
    return {c.name: c for c in proxyless.clusters(plan)} if plan is not None else {}


def _endpoints(plan: ServicePlan | None) -> dict[str, Message]:
    return {a.cluster_name: a for a in proxyless.assignments(plan)} if plan is not None else {}


def _replace(collection: Collection, before: Mapping[str, Message], after: Mapping[str, Message]) -> None:
    for name, message in after.items():
        collection.put(_resource(name, message))
    for name in before.keys() - after.keys():
        collection.remove(name)
