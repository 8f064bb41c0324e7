"""What proxyless gRPC clients get. It is built for the services that any of them asks for, and shared by all.

A client asks for a listener by the name in its target (`xds:///sc-B`), and from there for routes, clusters
and endpoints of that service. Clients of one application and tag have their listeners and routes in common:
a call without a lane from a tagged instance takes the lane of that tag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from controlplane.plan.services import ServicePlan
from controlplane.registry.names import last_part
from controlplane.snapshot.index import Index
from controlplane.snapshot.lanes import KnownLanes, LanesChange
from controlplane.snapshot.mesh import Change, Mesh, resource
from controlplane.snapshot.nodes import GrpcNode
from controlplane.snapshot.view import NodeView
from controlplane.translate import proxyless
from controlplane.translate.proxyless import Carriers
from controlplane.xds.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, Resource
from controlplane.xds.resources import Clock, Collection

MOST_ASKED = 1_000
"""Most names of one client that are remembered although no service has them yet; it is not told later about
more.
"""


@dataclass(frozen=True, slots=True)
class _Routes:
    """What the routes of a service were built from for one kind of client, and the clusters they name."""

    plan: ServicePlan
    carriers: Carriers
    default: str | None
    clusters: frozenset[str] = field(compare=False, default=frozenset())


class _Kind:
    """Clients of one application and tag. `names` counts who asks for a name, `default` is a lane."""

    def __init__(self, key: tuple[str, str] | None, default: str | None, clock: Clock) -> None:
        self.key = key
        self.default = default
        self.users = 0
        self.names: Counter[str] = Counter()
        self.meanings: dict[str, str] = {}
        """The service of each name that means exactly one."""
        self.services: Index[str, str] = Index()
        """The names of each service."""
        self.routed: dict[str, _Routes] = {}
        self.listeners = Collection(clock, LISTENER)
        self.routes = Collection(clock, ROUTE)


class GrpcView(NodeView):
    """The view of one client. `asked` are the names in its targets."""

    on_demand = True

    def __init__(self, node: GrpcNode, clients: GrpcClients, kind: _Kind) -> None:
        super().__init__(
            node,
            clients.clusters.clock,
            {
                LISTENER: [kind.listeners],
                ROUTE: [kind.routes],
                CLUSTER: [clients.clusters],
                ENDPOINT: [clients.endpoints],
            },
        )
        self.kind = kind
        self.asked: set[str] = set()
        self._clients = clients

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        if type_url == LISTENER:
            self._clients.ask(self, names)

    def follows(self, type_url: str, names: Set[str]) -> frozenset[str]:
        """gRPC applies routes when it has their clusters with their endpoints (gRFC A74)."""
        if type_url == CLUSTER:
            return frozenset(name for name in names if name in self._clients.clusters)
        routed = (self.kind.routed[service].clusters for service in names if service in self.kind.routed)
        return frozenset(name for clusters in routed for name in clusters)

    def release(self) -> None:
        self._clients.release(self)


class GrpcClients:
    """Every connected client. `clusters` and `endpoints` are those of the services that they ask for."""

    def __init__(self, mesh: Mesh, lanes: KnownLanes) -> None:
        self.clusters = Collection(mesh.clock, CLUSTER)
        self.endpoints = Collection(mesh.clock, ENDPOINT)
        self._mesh = mesh
        self._lanes = lanes
        self._kinds: dict[tuple[str, str] | None, _Kind] = {}
        self._by_name: Index[str, tuple[_Kind, str]] = Index()  # by the last part of what is asked for
        self._by_service: Index[str, _Kind] = Index()
        self._built: dict[str, frozenset[str]] = {}  # service -> the names of its clusters

    def publish(self, change: Change, lanes: LanesChange) -> None:
        """Services and lanes have changed."""
        for kind in self._kinds.values() if lanes.carriers or lanes.tags else ():
            default = self._default(kind.key)
            if lanes.carriers or default != kind.default:
                kind.default = default
                for service in kind.services:
                    self._put_routes(kind, service)
        both = [(b, a) for b, a in change.replaced if b is not None and a is not None]
        turned = {after.id for before, after in both if before.closed != after.closed}
        for kind, name in self._by_name.any_of(map(last_part, change.came_or_went | turned)):
            self._follow(kind, name)
        for _, after in change.replaced:
            if after is not None and after.id in self._by_service:
                self._build(after)
                for kind in self._by_service.of(after.id):
                    self._put_routes(kind, after.id)

    def view(self, node: GrpcNode) -> GrpcView:
        """The view of a client that connects."""
        key = (node.application, node.tag) if node.tag is not None else None
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(key, self._default(key), self._mesh.clock)
        kind.users += 1
        return GrpcView(node, self, kind)

    def release(self, view: GrpcView) -> None:
        """Its stream has ended: forget what no client asks for any more."""
        kind = view.kind
        for name in view.asked:
            kind.names[name] -= 1
            if not kind.names[name]:
                del kind.names[name]
                self._by_name.discard(last_part(name), (kind, name))
                self._follow(kind, name)
        kind.users -= 1
        if not kind.users:
            del self._kinds[kind.key]

    def ask(self, view: GrpcView, names: Iterable[str]) -> None:
        """A client asks for listeners. Names that mean no service, or several, wait until they mean exactly
        one.
        """
        kind = view.kind
        for name in names:
            if name in view.asked or (len(view.asked) >= MOST_ASKED and self._meaning(name) is None):
                continue
            view.asked.add(name)
            kind.names[name] += 1
            if kind.names[name] == 1:
                self._by_name.add(last_part(name), (kind, name))
                self._follow(kind, name)

    def _default(self, key: tuple[str, str] | None) -> str | None:
        lane = self._lanes.default(*key) if key is not None else None
        return lane.name if lane is not None else None

    def _meaning(self, name: str) -> str | None:
        try:
            found = self._mesh.resolve(name)
        except LookupError:
            return None
        plan = self._mesh.services.get(found)
        return None if plan is None or plan.closed else found

    def _follow(self, kind: _Kind, name: str) -> None:
        """A name is asked for, or is not any more, or may mean another service than before."""
        before, now = kind.meanings.get(name), self._meaning(name) if name in kind.names else None
        if before == now:
            return
        if now is None:
            del kind.meanings[name]
            kind.listeners.remove(name)
        else:
            kind.meanings[name] = now
            kind.listeners.put(resource(name, proxyless.listener(name, now)))
            kind.services.add(now, name)
            self._by_service.add(now, kind)
            if now not in self._built:
                self._build(self._mesh.services[now])
            self._put_routes(kind, now)
        if before is not None:
            kind.services.discard(before, name)
            if before not in kind.services:
                self._leave(kind, before)

    def _put_routes(self, kind: _Kind, service: str) -> None:
        plan = self._mesh.services.get(service)
        if plan is None:
            return  # its names are about to be followed
        inputs = _Routes(plan, self._lanes.carriers, kind.default)
        if kind.routed.get(service) != inputs:
            built = proxyless.route_configuration(plan, inputs.carriers, inputs.default)
            kind.routes.put(resource(service, built))
            kind.routed[service] = replace(inputs, clusters=proxyless.routed_clusters(built))

    def _leave(self, kind: _Kind, service: str) -> None:
        """No name of this kind of client means the service any more."""
        kind.routes.remove(service)
        kind.routed.pop(service, None)
        self._by_service.discard(service, kind)
        if service not in self._by_service:
            self._put_clusters(service, {}, {})

    def _build(self, plan: ServicePlan) -> None:
        clusters = {c.name: resource(c.name, c) for c in proxyless.clusters(plan)}
        endpoints = {a.cluster_name: resource(a.cluster_name, a) for a in proxyless.assignments(plan)}
        self._put_clusters(plan.id, clusters, endpoints)

    def _put_clusters(
        self, service: str, clusters: Mapping[str, Resource], endpoints: Mapping[str, Resource]
    ) -> None:
        before = self._built.pop(service, frozenset())
        for collection, now in ((self.clusters, clusters), (self.endpoints, endpoints)):
            for one in now.values():
                collection.put(one)
            for name in before - now.keys():
                collection.remove(name)
        if clusters:
            self._built[service] = frozenset(clusters)
