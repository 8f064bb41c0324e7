"""All resources of a scope, in collections that many views share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from controlplane.plan.services import ServicePlan
from controlplane.snapshot.mesh import Mesh, resource
from controlplane.translate import outbound
from controlplane.translate.domains import keys_of
from controlplane.xds.resource import CLUSTER, ROUTE, VIRTUAL_HOST, Resource
from controlplane.xds.resources import Collection


class Scoped(Protocol):
    """What a scope tells about the services in it."""

    def plan(self, service: str) -> ServicePlan | None: ...

    def domains(self, plan: ServicePlan) -> tuple[str, ...]: ...

    def owners(self, key: str) -> tuple[str, ...]: ...


class Everything:
    """`clusters` and `hosts` are for incremental clients, `whole` is the others' route configuration."""

    def __init__(self, scope: Scoped, mesh: Mesh, proxy: bool, plans: Iterable[ServicePlan]) -> None:
        """plans: those of all services in the scope."""
        self._scope = scope
        self._mesh = mesh
        self._proxy = proxy
        self._shared: set[str] = set()  # the addresses of several services
        self._whole: Collection | None = None
        passing = outbound.elsewhere(proxy, asked_first=False)
        hosts = [resource(passing.name, passing)]
        clusters: dict[str, tuple[Resource, ...]] = {}
        contested: set[str] = set()
        for plan in plans:
            clusters[plan.id] = mesh.clusters(plan)
            contested |= mesh.claims(plan).contested
            if domains := scope.domains(plan):
                hosts.append(mesh.host(plan, proxy, domains))
        self.hosts = Collection(mesh.clock, VIRTUAL_HOST, hosts)
        self._services = ServiceClusters(
            Collection(mesh.clock, CLUSTER, [one for built in clusters.values() for one in built]), clusters
        )
        self.update((), contested)

    @property
    def clusters(self) -> Collection:
        return self._services.collection

    def update(self, touched: Iterable[str], keys: Iterable[str]) -> None:
        """Update for services that changed, and for hosts and addresses that may now belong to other
        services.
        """
        scope, mesh, proxy = self._scope, self._mesh, self._proxy
        at = self.hosts.changed_at
        shared: set[str] = set(keys)
        for service in touched:
            plan = scope.plan(service)
            self._services.put(service, mesh.clusters(plan) if plan else ())
            domains = scope.domains(plan) if plan else ()
            if plan and domains:
                self.hosts.put(mesh.host(plan, proxy, domains))
            else:
                self.hosts.remove(outbound.host_name(proxy, service))
            if self._shared:
                shared |= keys_of(plan) & self._shared
        for key in shared:
            owners = scope.owners(key)
            if len(owners) > 1:
                self._shared.add(key)
                self.hosts.put(mesh.shared_host(key, owners, proxy))
            elif key in self._shared:
                self._shared.remove(key)
                self.hosts.remove(outbound.shared_name(proxy, key))
        if self._whole is not None and self.hosts.changed_at != at:
            self._put_whole(self._whole)

    def whole(self) -> Collection:
        """All virtual hosts in one route configuration, which is sent again as a whole when one of them
        changes.
        """
        if self._whole is None:
            self._whole = Collection(self._mesh.clock, ROUTE)
            self._put_whole(self._whole)
        return self._whole

    def _put_whole(self, collection: Collection) -> None:
        hosts = (host.body for host in sorted(self.hosts, key=lambda host: host.name))
        name = outbound.outbound_routes(self._proxy)
        collection.put(Resource.of(name, outbound.whole_configuration(self._proxy, hosts)))


class ServiceClusters:
    """The clusters of some services, in a collection that may have others, too."""

    def __init__(self, collection: Collection, held: dict[str, tuple[Resource, ...]] | None = None) -> None:
        """held: what the collection has of which service."""
        self.collection = collection
        self._held = {} if held is None else held

    def __contains__(self, service: str) -> bool:
        return service in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def put(self, service: str, now: tuple[Resource, ...]) -> None:
        """Make `now` the clusters of a service."""
        before = self._held.get(service, ())
        if before is now:
            return
        for cluster in now:
            self.collection.put(cluster)
        for name in {cluster.name for cluster in before} - {cluster.name for cluster in now}:
            self.collection.remove(name)
        if now:
            self._held[service] = now
        else:
            self._held.pop(service, None)
