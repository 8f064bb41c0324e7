"""What sidecars get: a few resources of their own, and those that their scope shares among its sidecars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.observing import NOTHING, Observing
from controlplane.plan.upstream import DEFAULT, Upstream
from controlplane.snapshot.index import Index
from controlplane.snapshot.lanes import KnownLanes, LanesChange
from controlplane.snapshot.mesh import Change, Mesh, resource
from controlplane.snapshot.nodes import SidecarNode
from controlplane.snapshot.on_demand import OnDemand
from controlplane.snapshot.places import Address, Place, Places
from controlplane.snapshot.scope import Scope, Scopes
from controlplane.snapshot.view import NodeView
from controlplane.translate import lua, observing, outbound, reports, sidecar
from controlplane.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION_CONFIG,
    LISTENER,
    ROUTE,
    VIRTUAL_HOST,
    Resource,
)
from controlplane.xds.resources import Collection


class SidecarView(NodeView):
    """The view of one sidecar. `own` has its own clusters, `filters` its Lua filters, `routes` the route
    configurations that are its alone.
    """

    def __init__(
        self,
        sidecar: SidecarNode,
        collections: Mapping[str, Sequence[Collection]],
        *,
        own: Collection,
        filters: Collection,
        routes: Collection,
        listening: Collection,
        scope: Scope,
        demand: OnDemand | None,
        places: Places,
        lanes: KnownLanes,
        released: Callable[[SidecarView], None],
    ) -> None:
        # Envoy names only the virtual hosts that it lacks, but its subscription is to all of them.
        whole = frozenset({VIRTUAL_HOST}) & collections.keys()
        super().__init__(sidecar, own.clock, collections, whole)
        self.sidecar = sidecar
        self.own = own
        self.filters = filters
        self.routes = routes
        self.listening = listening
        self.observing: Observing | None = None
        """What its listeners were made for."""
        self.incremental = VIRTUAL_HOST in collections
        self.application = ""
        """The application under which it is found."""
        self.scope = scope
        self.demand = demand
        self.on_demand = demand is not None
        self.keep_alive: float | None = None
        """What its own clusters were made for, in seconds."""
        self.tag: str | None = None
        """The tag under which it is indexed: that of the registry, else its own."""
        self._places = places
        self._lanes = lanes
        self._released = released

    @property
    def addresses(self) -> list[Address]:
        """The addresses at which the registry may have it."""
        place = self.sidecar.place
        return [(place.address, service.port) for service in place.services]

    def place(self) -> Place:
        """Its application and tag: from the registry, else from the node."""
        place = self.sidecar.place
        registered = self._places.at(place.address, (service.port for service in place.services))
        return registered or (self.sidecar.application, self.sidecar.tag)

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        if self.demand is not None:
            self.demand.wanted(type_url, names)

    def warnings(self) -> list[str]:
        found = self._places.warnings(self.sidecar)
        inheritance = self._lanes.inheritance(*self.place())
        if inheritance.ended:
            found.append(f"calls of this instance without a lane are base: {inheritance.reason}")
        if self.scope.calls != self.sidecar.calls:
            found.append(
                "the sidecar may call everything: all sidecars together name too many services in "
                "node.metadata.calls; give sidecars of one application the same calls"
            )
        return found

    def release(self) -> None:
        self._released(self)


class Sidecars:
    """Every connected sidecar, indexed by its addresses and its tag.

    A scope with `sent_at_once` clusters or more is sent service by service.
    """

    def __init__(
        self, mesh: Mesh, endpoints: Collection, places: Places, lanes: KnownLanes, sent_at_once: int
    ) -> None:
        self._clock = mesh.clock
        self._endpoints = endpoints
        self._places = places
        self._lanes = lanes
        self._sent_at_once = sent_at_once
        self._scopes = Scopes(mesh)
        self._views: set[SidecarView] = set()
        self._by_address: Index[Address, SidecarView] = Index()
        self._by_tag: Index[str, SidecarView] = Index()
        self._upstreams: Mapping[str, Upstream] = {}
        self._observing: Mapping[str, Observing] = {}
        self._by_application: Index[str, SidecarView] = Index()
        self._filters: dict[tuple[str, LaneMeaning | None, bool], Resource] = {}
        self._inbound_routes: dict[tuple[str, tuple[str, ...], bool], Resource] = {}
        self._watched: frozenset[str] = frozenset()
        self._watches: dict[tuple[bool, bool], Resource] = {}
        self._heads: dict[tuple[bool, bool], Resource] = {}
        for kind in ((proxy, reads_all) for proxy in (True, False) for reads_all in (True, False)):
            head = outbound.route_configuration(*kind)
            self._heads[kind] = resource(head.name, head)

    def publish(
        self,
        change: Change,
        lanes: LanesChange,
        moved: Iterable[Address],
        upstreams: Mapping[str, Upstream],
        written: Mapping[str, Observing],
    ) -> None:
        """Services, lanes, applications and what the registry has at the addresses `moved` have changed."""
        self._scopes.publish(change)
        if lanes.carriers or lanes.tags:
            self._filters.clear()
        if lanes.carriers or lanes.applications:
            self._inbound_routes.clear()
        if lanes.carriers:
            self._watches.clear()
        at = self._by_address.any_of(moved)
        concerned = at | self._by_tag.any_of(lanes.tags) | self._by_application.any_of(lanes.applications)
        for view in self._views if lanes.carriers else concerned:
            self._put_lanes(view)
        same = self._upstreams is upstreams and self._observing is written
        self._upstreams, self._observing = upstreams, written
        for view in at if same else self._views:
            self._put_own(view)

    def watch(self, applications: frozenset[str]) -> None:
        """Have the sidecars of these applications report every request, and no others."""
        before, self._watched = self._watched, applications
        for application in before ^ applications:
            for view in self._by_application.any_of([application]):
                self._put_watch(view)

    def view(self, node: SidecarNode, incremental: bool) -> SidecarView:
        """The view of a sidecar that connects. `incremental`: it speaks the delta variant."""
        place = node.place
        filters = Collection(self._clock, EXTENSION_CONFIG)
        own = Collection(self._clock, CLUSTER)
        routes = Collection(self._clock, ROUTE)
        listening = Collection(self._clock, LISTENER)
        collections = {
            CLUSTER: [own],
            ENDPOINT: [self._endpoints],
            LISTENER: [listening],
            ROUTE: [routes],
            EXTENSION_CONFIG: [filters],
        }
        scope = self._scopes.enter(node.calls)
        demand = None
        if incremental and scope.size() > self._sent_at_once:
            demand = OnDemand(scope, place.proxy, own)
            collections[VIRTUAL_HOST] = [demand.hosts]
        else:
            everything = scope.everything(place.proxy)
            collections[CLUSTER] = [everything.clusters, own]
            if incremental:
                collections[VIRTUAL_HOST] = [everything.hosts]
            else:
                collections[ROUTE] = [everything.whole(), routes]
        view = SidecarView(
            node,
            collections,
            own=own,
            filters=filters,
            routes=routes,
            listening=listening,
            scope=scope,
            demand=demand,
            places=self._places,
            lanes=self._lanes,
            released=self._release,
        )
        self._views.add(view)
        for address in view.addresses:
            self._by_address.add(address, view)
        self._put_lanes(view)
        self._put_own(view)
        return view

    def _release(self, view: SidecarView) -> None:
        self._views.discard(view)
        for address in view.addresses:
            self._by_address.discard(address, view)
        if view.tag is not None:
            self._by_tag.discard(view.tag, view)
        if view.demand is not None:
            view.demand.close()
        self._by_application.discard(view.application, view)
        self._scopes.leave(view.scope)
        if not self._views:
            self._filters.clear()
            self._inbound_routes.clear()

    def _put_lanes(self, view: SidecarView) -> None:
        """Bring what depends on the sidecar's application and tag up to date.

        Its outbound filter knows the lane that its own tag means, its inbound routes the application's lanes.
        """
        application, tag = view.place()
        if application != view.application:
            self._by_application.discard(view.application, view)
            self._by_application.add(application, view)
            view.application = application
        if tag != view.tag:
            if view.tag is not None:
                self._by_tag.discard(view.tag, view)
            if tag is not None:
                self._by_tag.add(tag, view)
            view.tag = tag
        default = self._lanes.default(application, tag)
        by_trace = self._lanes.by_trace(application)
        view.filters.put(self._filter("inbound", None, by_trace))
        view.filters.put(self._filter("outbound", default, by_trace))
        self._put_watch(view)
        if view.incremental:
            reads_all = by_trace or default is not None
            view.routes.put(self._heads[view.sidecar.place.proxy, reads_all])
        lanes = self._lanes.of(application)
        for name, cluster in sidecar.inbound_names(view.sidecar.place):
            routes = self._inbound_routes.get((name, lanes, by_trace))
            if routes is None:
                found = sidecar.inbound_routes(name, cluster, self._lanes.carriers, lanes, by_trace)
                routes = self._inbound_routes[name, lanes, by_trace] = resource(name, found)
            view.routes.put(routes)

    def _put_watch(self, view: SidecarView) -> None:
        if not view.sidecar.place.reports:
            return
        watched = view.application in self._watched
        logged = view.observing is not None and view.observing.access_log is not None
        built = self._watches.get((watched, logged))
        if built is None:
            config = reports.sidecar_watch(watched, logged, self._lanes.carriers)
            built = self._watches[watched, logged] = resource(config.name, config)
        view.filters.put(built)

    def _put_own(self, view: SidecarView) -> None:
        application, _ = view.place()
        keep_alive = self._upstreams.get(application, DEFAULT).keep_alive
        if keep_alive != view.keep_alive:
            view.keep_alive = keep_alive
            for cluster in sidecar.clusters(view.sidecar.place, keep_alive):
                view.own.put(resource(cluster.name, cluster))
        wanted = self._observing.get(application, NOTHING)
        if wanted != view.observing:
            self._observe(view, application, wanted)

    def _observe(self, view: SidecarView, application: str, wanted: Observing) -> None:
        """Have the sidecar write down what is `wanted`. Collectors come first and go last."""
        before = view.observing.collectors() if view.observing is not None else []
        view.observing = wanted
        for cluster in observing.collectors(wanted):
            view.own.put(resource(cluster.name, cluster))
        built = sidecar.listeners(view.sidecar.place, application, wanted)
        view.listening.replace([resource(one.name, one) for one in built])
        for collector in set(before).difference(wanted.collectors()):
            view.own.remove(observing.collector_name(collector))
        self._put_watch(view)

    def _filter(self, direction: str, default: LaneMeaning | None, by_trace: bool) -> Resource:
        found = self._filters.get((direction, default, by_trace))
        if found is None:
            code = lua.sidecar_filter(direction, self._lanes.carriers, default, by_trace)
            found = self._filters[direction, default, by_trace] = resource(code.name, code)
        return found
