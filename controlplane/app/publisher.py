"""Plans become resources in collections that streams share; nodes become views over those collections.

Everything here runs in the event loop's thread and without awaiting, so that one change is one push.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from google.protobuf.message import Message

from controlplane.app.grpc_clients import GrpcClients
from controlplane.app.nodes import EdgeNode, SidecarNode
from controlplane.model.definitions import Definitions
from controlplane.plan.lanes import LaneMeaning, default_lane
from controlplane.plan.planner import Plan, Planner, Resolve
from controlplane.plan.rollout import Deployed
from controlplane.plan.services import ServicePlan
from controlplane.registry.types import Services
from controlplane.translate import clusters, edge, listeners, lua, outbound, sidecar
from controlplane.xds.resources import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    Collection,
    Resource,
    View,
)

log = structlog.get_logger(__name__)


def resource(name: str, message: Message) -> Resource:
    return Resource.of(name, message.SerializeToString(deterministic=True))


class Scope:
    """Clusters and outbound routes for sidecars that may call the same services (`calls`; None: all)."""

    def __init__(self, calls: frozenset[str] | None) -> None:
        self.calls = calls
        self.users = 0
        self.clusters = Collection(CLUSTER)
        self.routes = {True: Collection(ROUTE), False: Collection(ROUTE)}
        self.hosts: outbound.HostCache = {}
        self.plans: dict[str, ServicePlan] = {}


class Edge:
    """Everything of one gateway."""

    def __init__(self) -> None:
        self.users = 0
        self.listeners = Collection(LISTENER)
        self.routes = Collection(ROUTE)
        self.clusters = Collection(CLUSTER)
        self.extensions = Collection(EXTENSION_CONFIG)
        self.built: object = None


class Own:
    """What only one sidecar has."""

    def __init__(self, node: SidecarNode) -> None:
        self.node = node
        self.listeners = Collection(LISTENER)
        self.clusters = Collection(CLUSTER)
        self.extensions = Collection(EXTENSION_CONFIG)
        self.default: LaneMeaning | None = None


class Publisher:
    """Holds the current plan and its resources."""

    def __init__(self) -> None:
        self._planner = Planner()
        self.plan = Plan()
        self.conflicts: dict[str, list[str]] = {}
        self._services: Services = {}
        self._known: Deployed = Deployed()
        self._carriers: tuple[tuple[str, str], ...] = ()
        self._resolve: Resolve = lambda name: name
        self.grpc_clients = GrpcClients()
        self._endpoints = Collection(ENDPOINT)
        self._inbound = Collection(EXTENSION_CONFIG)
        self._everyone = Scope(None)
        self._scopes: dict[frozenset[str], Scope] = {}
        self._edges: dict[str, Edge] = {}
        self._owns: dict[int, Own] = {}
        self._places: dict[tuple[str, int], tuple[str, str | None]] = {}
        self._publish_carriers({("x-lane", "lane")})

    # plans to resources

    def publish(
        self, definitions: Definitions, deployed: Deployed, services: Services, resolve: Resolve
    ) -> None:
        """Bring every collection up to the given state."""
        before = self.plan
        self.plan = self._planner.plan(definitions, deployed, services, resolve)
        self._services, self._known, self._resolve = services, deployed, resolve
        changed = [p for i, p in self.plan.services.items() if before.services.get(i) is not p]
        gone = [p for i, p in before.services.items() if i not in self.plan.services]
        carriers = {(g.carriers.header.lower(), g.carriers.baggage) for g in definitions.gateways.values()}
        self._publish_carriers(carriers or {("x-lane", "lane")})
        for plan in changed:
            self._publish_endpoints(before.services.get(plan.id), plan)
        if changed or gone:
            self._index_places(before, changed, gone)
            self._publish_scope(self._everyone)
            for scope in self._scopes.values():
                self._publish_scope(scope)
        for name in self._edges.keys() | self.plan.gateways.keys():
            self._publish_edge(name)
        for own in self._owns.values():
            self._publish_own(own)
        self.grpc_clients.publish(self.plan, resolve, deployed.known, self._carriers)
        for plan in gone:
            for assignment in clusters.assignments(plan):
                self._endpoints.remove(assignment.cluster_name)

    def _publish_carriers(self, carriers: Iterable[tuple[str, str]]) -> None:
        ordered = tuple(sorted(carriers))
        if ordered != self._carriers:
            self._carriers = ordered
            built = lua.sidecar_filter("inbound", ordered, None)
            self._inbound.put(resource(built.name, built))
            for own in self._owns.values():
                self._publish_own(own, force=True)

    def _publish_endpoints(self, before: ServicePlan | None, plan: ServicePlan) -> None:
        names: set[str] = set()
        for assignment in clusters.assignments(plan):
            names.add(assignment.cluster_name)
            self._endpoints.put(resource(assignment.cluster_name, assignment))
        if before is not None:
            for assignment in clusters.assignments(before):
                if assignment.cluster_name not in names:
                    self._endpoints.remove(assignment.cluster_name)

    def _index_places(self, before: Plan, changed: list[ServicePlan], gone: list[ServicePlan]) -> None:
        for plan in [*gone, *(before.services[p.id] for p in changed if p.id in before.services)]:
            for place in plan.addresses:
                self._places.pop(place, None)
        for plan in changed:
            service = self._services[plan.id]
            for instance in service.instances:
                application = instance.application or service.name
                self._places[instance.address, instance.port] = (application, instance.tag)

    def _in_scope(self, scope: Scope) -> dict[str, ServicePlan]:
        if scope.calls is None:
            return dict(self.plan.services)
        found: dict[str, ServicePlan] = {}
        for name in scope.calls:
            try:
                service = self._resolve(name)
            except LookupError:
                continue  # not there yet; served as unknown until a source knows it
            if service in self.plan.services:
                found[service] = self.plan.services[service]
        return found

    def _publish_scope(self, scope: Scope) -> None:
        plans = self._in_scope(scope)
        for service, plan in plans.items():
            old = scope.plans.get(service)
            if old is not plan:
                _put_clusters(scope.clusters, old, plan, mirror=True)
        for service, old in scope.plans.items():
            if service not in plans:
                _drop_clusters(scope.clusters, old)
        if plans == scope.plans and scope.routes[True].get(outbound.outbound_routes(True)):
            return
        scope.plans = plans
        domains = outbound.Domains(plans.values())
        if scope is self._everyone:
            self.conflicts = domains.conflicts
        for proxy, collection in scope.routes.items():
            name = outbound.outbound_routes(proxy)
            collection.put(Resource.of(name, outbound.route_configuration(domains, proxy, scope.hosts)))

    def _publish_edge(self, name: str) -> None:
        plan = self.plan.gateways.get(name)
        held = self._edges.get(name)
        if plan is None:
            if held is not None:
                for collection in (held.listeners, held.routes, held.clusters, held.extensions):
                    collection.replace([])
                held.built = None
                if not held.users:
                    del self._edges[name]
            return
        if held is None:
            held = self._edges[name] = Edge()
        used = {
            r.service: self.plan.services[r.service]
            for r in plan.routes
            if r.service is not None and r.service in self.plan.services
        }
        if held.built == (plan, used):
            return
        built = [c for service in used.values() for c in clusters.clusters(service, mirror=False)]
        held.clusters.replace([resource(c.name, c) for c in built])
        code = lua.edge_filter(plan)
        held.extensions.put(resource(code.name, code))
        held.listeners.replace(
            [
                resource(x.name, x)
                for x in (listeners.edge_listener(plan, at.address, at.port) for at in plan.listeners)
            ]
        )
        routes = edge.route_configuration(plan, used)
        held.routes.put(resource(routes.name, routes))
        held.built = (plan, used)

    def _publish_own(self, own: Own, force: bool = False) -> None:
        place = own.node.place
        application, tag = own.node.application, own.node.tag
        for service in place.services:
            found = self._places.get((place.address, service.port))
            if found is not None:
                application, tag = found
                break
        default = default_lane(self._known.known, application, tag)
        if default != own.default or force or not len(own.extensions):
            own.default = default
            built = lua.sidecar_filter("outbound", self._carriers, default)
            own.extensions.put(resource(built.name, built))

    # nodes to views

    def edge_view(self, node: EdgeNode) -> View:
        held = self._edges.setdefault(node.gateway, Edge())
        held.users += 1
        return View(
            {
                CLUSTER: [held.clusters],
                ENDPOINT: [self._endpoints],
                LISTENER: [held.listeners],
                ROUTE: [held.routes],
                EXTENSION_CONFIG: [held.extensions],
            }
        )

    def sidecar_view(self, node: SidecarNode) -> View:
        scope = self._everyone
        if node.calls is not None:
            found = self._scopes.get(node.calls)
            if found is None:
                found = self._scopes[node.calls] = Scope(node.calls)
            scope = found
        scope.users += 1
        if not scope.routes[True].get(outbound.outbound_routes(True)):
            self._publish_scope(scope)
        own = Own(node)
        own.listeners.replace([resource(x.name, x) for x in sidecar.listeners(node.place)])
        own.clusters.replace([resource(x.name, x) for x in sidecar.clusters(node.place)])
        view = View(
            {
                CLUSTER: [scope.clusters, own.clusters],
                ENDPOINT: [self._endpoints],
                LISTENER: [own.listeners],
                ROUTE: [scope.routes[node.place.proxy]],
                EXTENSION_CONFIG: [self._inbound, own.extensions],
            }
        )
        self._publish_own(own)
        self._owns[id(view)] = own
        return view

    def warnings(self, cluster: str, metadata: Mapping[str, Any]) -> list[str]:
        """What looks wrong with a connected proxy, in plain words."""
        found: list[str] = []
        if metadata.get("role") == "edge":
            if cluster not in self.plan.gateways:
                found.append(f"gateway {cluster} is not defined; the edge waits with an empty configuration")
            return found
        address = str(metadata.get("address", ""))
        for own in metadata.get("services", []):
            place = (address, int(own["port"]))
            registered = self._places.get(place)
            if registered is None:
                found.append(f"{address}:{place[1]} is not in the registry; served from the node's metadata")
                continue
            application, tag = registered
            if application != cluster:
                found.append(f"the registry says application {application}, node.cluster says {cluster}")
            if (tag or None) != (metadata.get("tag") or None):
                found.append(
                    f"the registry says tag {tag}, the node says {metadata.get('tag')}; the registry's counts"
                )
        return found

    def release(self, node: EdgeNode | SidecarNode, view: View) -> None:
        """A stream ended: forget what only it used."""
        self._owns.pop(id(view), None)
        if isinstance(node, EdgeNode):
            held = self._edges.get(node.gateway)
            if held is not None:
                held.users -= 1
                if not held.users and node.gateway not in self.plan.gateways:
                    del self._edges[node.gateway]
        elif node.calls is not None:
            scope = self._scopes[node.calls]
            scope.users -= 1
            if not scope.users:
                del self._scopes[node.calls]


def _put_clusters(collection: Collection, old: ServicePlan | None, plan: ServicePlan, mirror: bool) -> None:
    if old is not None and (old.protocol, old.health_check, old.targets.keys()) == (
        plan.protocol,
        plan.health_check,
        plan.targets.keys(),
    ):
        return
    names: set[str] = set()
    for cluster in clusters.clusters(plan, mirror):
        names.add(cluster.name)
        collection.put(resource(cluster.name, cluster))
    if old is not None:
        for cluster in clusters.clusters(old, mirror):
            if cluster.name not in names:
                collection.remove(cluster.name)


def _drop_clusters(collection: Collection, plan: ServicePlan) -> None:
    for cluster in clusters.clusters(plan, mirror=True):
        collection.remove(cluster.name)
