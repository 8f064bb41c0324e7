"""Plans become resources in collections that streams share; nodes become views over those collections.

Everything here runs in the event loop's thread and without awaiting, so that one change is one push.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.model.definitions import Definitions
from controlplane.plan.lanes import LaneMeaning, default_lane
from controlplane.plan.planner import Plan, Planner, Resolve
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Services
from controlplane.snapshot.edges import Edges
from controlplane.snapshot.endpoints import drop_endpoints, put_endpoints
from controlplane.snapshot.grpc_clients import GrpcClients
from controlplane.snapshot.mesh import Mesh, resource
from controlplane.snapshot.nodes import EdgeNode, NodeError, SidecarNode, parse_node
from controlplane.snapshot.on_demand import OnDemand
from controlplane.snapshot.places import Places
from controlplane.snapshot.reach import Reach
from controlplane.translate import lua, outbound, sidecar
from controlplane.xds.resources import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    VIRTUAL_HOST,
    Collection,
    View,
)

SENT_AT_ONCE = 2_000
"""Clusters, some 110 MiB of an Envoy's memory: a reach with more is loaded on demand, service by service."""

_DISCOVERED = frozenset({VIRTUAL_HOST})


class Own:
    """What only one sidecar has."""

    def __init__(self, node: SidecarNode, reach: Reach) -> None:
        self.node = node
        self.reach = reach
        self.on_demand: OnDemand | None = None
        self.listeners = Collection(LISTENER, [resource(x.name, x) for x in sidecar.listeners(node.place)])
        self.clusters = Collection(CLUSTER, [resource(x.name, x) for x in sidecar.clusters(node.place)])
        self.extensions = Collection(EXTENSION_CONFIG)
        self.default: LaneMeaning | None = None


class _OnDemandView(View):
    """The view of a sidecar that says what it needs."""

    on_demand = True

    def __init__(self, collections: Mapping[str, list[Collection]], held: OnDemand) -> None:
        super().__init__(collections, _DISCOVERED)
        self._held = held

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        self._held.wanted(type_url, names)


class Publisher:
    """Holds the current plan and its resources."""

    def __init__(self, sent_at_once: int = SENT_AT_ONCE) -> None:
        self.plan = Plan()
        self.grpc_clients = GrpcClients()
        self._sent_at_once = sent_at_once
        self._planner = Planner()
        self._mesh = Mesh()
        self._places = Places()
        self._endpoints = Collection(ENDPOINT)
        self._edges = Edges(self._mesh, self._endpoints)
        self._everything = Reach(self._mesh, None)
        self._reaches: dict[frozenset[str], Reach] = {}
        self._owns: dict[int, Own] = {}
        self._known: Mapping[str, LaneMeaning] = {}
        self._known_by_tag: dict[str, dict[str, LaneMeaning]] = {}
        self._carriers: tuple[tuple[str, str], ...] = ()
        self._inbound = Collection(EXTENSION_CONFIG)
        self._routes = {
            proxy: Collection(ROUTE, [resource(x.name, x)])
            for proxy, x in ((proxy, outbound.route_configuration(proxy)) for proxy in (True, False))
        }
        self._take_carriers({("x-lane", "lane")})

    def publish(
        self, definitions: Definitions, deployed: Deployed, services: Services, resolve: Resolve
    ) -> None:
        """Bring every collection up to the given state."""
        before = self.plan.services
        self.plan = self._planner.plan(definitions, deployed, services, resolve)
        carriers = {(g.carriers.header.lower(), g.carriers.baggage) for g in definitions.gateways.values()}
        self._take_carriers(carriers or {("x-lane", "lane")})
        self._take_lanes(deployed.known)
        change = self._mesh.update(self.plan.services, resolve)
        now = self.plan.services
        changed = [s for s in change.touched if s in now and before.get(s) is not now[s]]
        old = [before[s] for s in change.touched if s in before and before[s] is not now.get(s)]
        self._places.update(old, [(now[s], services[s]) for s in changed])
        for service in changed:
            put_endpoints(self._endpoints, before.get(service), now[service])
        if change:
            for reach in (self._everything, *self._reaches.values()):
                reach.update(change)
        self._edges.publish(self.plan)
        for own in self._owns.values():
            self._put_filter(own)
        self.grpc_clients.publish(self.plan, resolve, deployed.known, self._carriers)
        for plan in old:
            if plan.id not in now:
                drop_endpoints(self._endpoints, plan)

    def _take_carriers(self, carriers: Iterable[tuple[str, str]]) -> None:
        ordered = tuple(sorted(carriers))
        if ordered != self._carriers:
            self._carriers = ordered
            built = lua.sidecar_filter("inbound", ordered, None)
            self._inbound.put(resource(built.name, built))
            for own in self._owns.values():
                self._put_filter(own, force=True)

    def _take_lanes(self, known: Mapping[str, LaneMeaning]) -> None:
        if known != self._known:
            self._known = known
            self._known_by_tag = {}
            for name, lane in known.items():
                self._known_by_tag.setdefault(lane.tag, {})[name] = lane

    def _put_filter(self, own: Own, force: bool = False) -> None:
        """The outbound filter knows the lane that a sidecar's own tag means."""
        place = own.node.place
        registered = self._places.at(place.address, (service.port for service in place.services))
        application, tag = registered or (own.node.application, own.node.tag)
        default = default_lane(self._known_by_tag.get(tag or "", {}), application, tag)
        if default != own.default or force or not len(own.extensions):
            own.default = default
            built = lua.sidecar_filter("outbound", self._carriers, default)
            own.extensions.put(resource(built.name, built))

    # Nodes to views.

    def edge_view(self, node: EdgeNode) -> View:
        """The view of an edge that connects; `release` it."""
        return self._edges.view(node.gateway)

    def sidecar_view(self, node: SidecarNode, incremental: bool = True) -> View:
        """The view of a sidecar that connects; `release` it. `incremental`: it speaks the delta variant."""
        reach = self._everything
        if node.calls is not None:
            reach = self._reaches.setdefault(node.calls, Reach(self._mesh, node.calls))
        reach.users += 1
        own = Own(node, reach)
        self._put_filter(own)
        proxy = node.place.proxy
        collections = {
            CLUSTER: [own.clusters],
            ENDPOINT: [self._endpoints],
            LISTENER: [own.listeners],
            ROUTE: [self._routes[proxy]],
            EXTENSION_CONFIG: [self._inbound, own.extensions],
        }
        if incremental and reach.size() > self._sent_at_once:
            own.on_demand = OnDemand(reach, proxy, own.clusters)
            view = _OnDemandView({**collections, VIRTUAL_HOST: [own.on_demand.hosts]}, own.on_demand)
        else:
            shared = reach.all_for(proxy)
            collections[CLUSTER] = [shared.clusters, own.clusters]
            if incremental:
                view = View({**collections, VIRTUAL_HOST: [shared.hosts]}, _DISCOVERED)
            else:
                view = View({**collections, ROUTE: [shared.whole()]})
        self._owns[id(view)] = own
        return view

    def warnings(self, cluster: str, metadata: Mapping[str, Any]) -> list[str]:
        """What looks wrong with a connected proxy, in plain words."""
        try:
            node = parse_node(cluster, metadata, None)
        except NodeError as error:
            return [f"this entry cannot be shown in full: {error}"]
        if isinstance(node, SidecarNode):
            return self._places.warnings(node)
        if isinstance(node, EdgeNode) and node.gateway not in self.plan.gateways:
            return [f"gateway {node.gateway} is not defined; the edge waits with an empty configuration"]
        return []

    def release(self, node: EdgeNode | SidecarNode, view: View) -> None:
        """A stream ended: forget what only it used."""
        if isinstance(node, EdgeNode):
            self._edges.release(node.gateway, node.gateway in self.plan.gateways)
            return
        own = self._owns.pop(id(view))
        if own.on_demand is not None:
            own.on_demand.close()
        own.reach.users -= 1
        if not own.reach.users:
            own.reach.shared.clear()
            if node.calls is not None:
                del self._reaches[node.calls]
