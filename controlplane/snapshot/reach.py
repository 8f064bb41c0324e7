"""What sidecars may call, and everything of it in collections that they share.

Sidecars with the same `calls` have one reach. Where it is small, all of it is sent at once; where it is
large, see `on_demand`. State-of-the-world clients always get all, in one route configuration.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from controlplane.plan.services import ServicePlan
from controlplane.snapshot.mesh import Change, Mesh
from controlplane.translate import outbound
from controlplane.translate.domains import keys_of
from controlplane.xds.resources import CLUSTER, ROUTE, VIRTUAL_HOST, Collection, Resource

if TYPE_CHECKING:
    from controlplane.snapshot.on_demand import OnDemand


class _Everything(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


class Reach:
    """The services named by `calls` (None: all), what is built for all, and who takes them on demand."""

    def __init__(self, mesh: Mesh, calls: frozenset[str] | None) -> None:
        self.mesh = mesh
        self.calls = calls
        self.users = 0
        self.members: Container[str] = _Everything() if calls is None else self._named()
        self.shared: dict[bool, Shared] = {}
        self.asked: dict[str, set[OnDemand]] = {}
        """Who asked for a key, whether it means something or not."""
        self.loaded: dict[str, set[OnDemand]] = {}
        """Who has the clusters and the virtual host of a service."""
        self._domains: dict[str, tuple[str, ...]] = {}

    def plans(self) -> Iterable[ServicePlan]:
        return (plan for id_, plan in self.mesh.services.items() if id_ in self.members)

    def size(self) -> int:
        """How many clusters everything in reach is."""
        return sum(1 + 2 * len(plan.targets) for plan in self.plans())

    def domains(self, plan: ServicePlan) -> tuple[str, ...]:
        """The domains of the service's own virtual host, as far as its competitors are in reach."""
        found = self._domains.get(plan.id)
        if found is None:
            found = self._domains[plan.id] = self.mesh.domains.of(plan, self.members)
        return found

    def owners(self, key: str) -> tuple[str, ...]:
        return self.mesh.domains.owners(key, self.members)

    def all_for(self, proxy: bool) -> Shared:
        """Everything in reach, for one kind of capture; built by the first who needs it."""
        found = self.shared.get(proxy)
        if found is None:
            found = self.shared[proxy] = Shared(self, proxy)
            plans = list(self.plans())
            found.update([p.id for p in plans], {key for p in plans for key in keys_of(p)})
        return found

    def update(self, change: Change) -> None:
        """The mesh has changed."""
        touched, keys = change.touched, change.keys
        if self.calls is not None:
            if change.came_or_went:
                before, self.members = set(self.members), self._named()  # type: ignore[call-overload]
                moved = before ^ self.members
                services = self.mesh.services
                keys = keys.union(*(keys_of(services.get(service)) for service in moved))
                touched = touched | moved | self.mesh.domains.claimants(keys)
            touched = frozenset(s for s in touched if s in self.members or s in self._domains)
        for service in touched:
            self._domains.pop(service, None)
        for shared in self.shared.values():
            shared.update(touched, keys)
        for key in keys & self.asked.keys():
            for sidecar in tuple(self.asked[key]):
                sidecar.resolve(key)
        for service in touched & self.loaded.keys():
            for sidecar in tuple(self.loaded[service]):
                sidecar.refresh(service)

    def _named(self) -> frozenset[str]:
        found: set[str] = set()
        for name in self.calls or ():
            try:
                found.add(self.mesh.resolve(name))
            except LookupError:
                continue  # not there yet; served as unknown until a source knows it
        return frozenset(found)


class Shared:
    """Everything in reach, in collections that many views have.

    `clusters` and `hosts` are for incremental clients; `whole` is the route configuration of the others.
    """

    def __init__(self, reach: Reach, proxy: bool) -> None:
        self._reach = reach
        self._proxy = proxy
        self._clusters: dict[str, tuple[Resource, ...]] = {}
        self._addresses: set[str] = set()  # those of several services
        self.clusters = Collection(CLUSTER)
        passing = outbound.elsewhere(proxy, asked_first=False)
        self._elsewhere = Resource.of(passing.name, passing.SerializeToString(deterministic=True))
        self.hosts = Collection(VIRTUAL_HOST, [self._elsewhere])
        self._whole: Collection | None = None

    def update(self, touched: Iterable[str], keys: Iterable[str]) -> None:
        reach, mesh, proxy = self._reach, self._reach.mesh, self._proxy
        for service in touched:
            plan = mesh.services.get(service) if service in reach.members else None
            put_clusters(self.clusters, self._clusters, service, mesh.clusters(plan) if plan else ())
            domains = reach.domains(plan) if plan else ()
            if plan and domains:
                self.hosts.put(mesh.host(plan, proxy, domains))
            else:
                self.hosts.remove(outbound.host_name(proxy, service))
        shared = {key for s in touched for key in keys_of(mesh.services.get(s)) if len(reach.owners(key)) > 1}
        for key in shared.union(keys):
            owners = reach.owners(key)
            if len(owners) > 1:
                self._addresses.add(key)
                self.hosts.put(mesh.shared_host(key, owners, proxy))
            elif key in self._addresses:
                self._addresses.remove(key)
                self.hosts.remove(outbound.shared_name(proxy, key))
        if self._whole is not None:
            self._put_whole()

    def whole(self) -> Collection:
        """All virtual hosts in one route configuration, re-sent whole when one of them changes."""
        if self._whole is None:
            self._whole = Collection(ROUTE)
            self._put_whole()
        return self._whole

    def _put_whole(self) -> None:
        assert self._whole is not None
        hosts = (host.body for host in sorted(self.hosts, key=lambda host: host.name))
        name = outbound.outbound_routes(self._proxy)
        self._whole.put(Resource.of(name, outbound.whole_configuration(self._proxy, hosts)))


def put_clusters(
    collection: Collection, known: dict[str, tuple[Resource, ...]], service: str, now: tuple[Resource, ...]
) -> None:
    """Make `collection` hold the clusters `now` of a service instead of those that are `known`."""
    before = known.get(service, ())
    if before is now:
        return
    for cluster in now:
        collection.put(cluster)
    for name in {cluster.name for cluster in before} - {cluster.name for cluster in now}:
        collection.remove(name)
    if now:
        known[service] = now
    else:
        known.pop(service, None)
