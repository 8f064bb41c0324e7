"""The services that sidecars may call, and their encoded resources, which are built when needed and then
shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from controlplane.plan.planner import Resolve
from controlplane.plan.services import ServicePlan
from controlplane.snapshot.lanes import USUAL
from controlplane.translate import clusters, outbound
from controlplane.translate.domains import Claims, Domains
from controlplane.translate.gates import Carriers
from controlplane.xds.resource import Resource
from controlplane.xds.resources import Clock


def _nobody(name: str) -> str:
    raise LookupError(name)


def resource(name: str, message: Message) -> Resource:
    return Resource.of(name, message.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class Change:
    """What one publication changes. `touched` services have other virtual hosts or clusters than before.

    `keys` are the hosts and addresses that may belong to other services now; `reclaimed` are the services
    that have, or had, one of them. `came_or_went` says whether services were added or removed. `replaced` has
    the plans before and after; one of them is None for a service that was added or removed.
    """

    touched: frozenset[str]
    keys: frozenset[str]
    reclaimed: frozenset[str]
    came_or_went: frozenset[str]
    replaced: tuple[tuple[ServicePlan | None, ServicePlan | None], ...]


@dataclass(frozen=True, slots=True)
class _Clusters:
    """The clusters of a service, and the part of its plan that they are made from."""

    plan: ServicePlan
    shape: tuple[object, ...]
    built: tuple[Resource, ...]


class Mesh:
    """Current plans of all services, the owners of hosts, and the encoded clusters and virtual hosts.

    `clock` is that of all collections. whole: another mesh, which has encoded already what both have.
    """

    def __init__(self, clock: Clock, whole: Mesh | None = None) -> None:
        self.clock = clock
        self._whole = whole
        self.services: Mapping[str, ServicePlan] = {}
        self.domains = Domains()
        self._resolve: Resolve = _nobody
        self._meanings: dict[str, str] = {}
        self._claims: dict[str, Claims] = {}
        self.carriers: Carriers = USUAL
        self._clusters: dict[tuple[str, bool], _Clusters] = {}
        self._hosts: dict[str, dict[tuple[bool, tuple[str, ...]], Resource]] = {}
        self._shared: dict[tuple[str, bool], tuple[list[ServicePlan], Resource]] = {}

    def publish(self, services: Mapping[str, ServicePlan], resolve: Resolve, carriers: Carriers) -> Change:
        """Take over the plans and the carriers of lanes. The cost is that of the services that changed, plus
        one comparison per service; other carriers change every service.
        """
        before, self.services, self._resolve = self.services, services, resolve
        changed = [plan.id for plan in services.values() if before.get(plan.id) is not plan]
        gone = [service for service in before if service not in services]
        keys: set[str] = set()
        reclaimed: set[str] = set(gone)
        for service in (*changed, *gone):
            moved = self.domains.update(before.get(service), services.get(service))
            if moved:
                keys |= moved
                reclaimed.add(service)
        for address, proxy in [at for at in self._shared if at[0] in keys]:
            del self._shared[address, proxy]
        for service in gone:
            for mirror in (True, False):
                self._clusters.pop((service, mirror), None)
        came = [service for service in changed if service not in before]
        reclaimed |= self.domains.claimants(keys)
        touched = frozenset((*changed, *gone, *reclaimed))
        if carriers != self.carriers:
            self._shared.clear()
            touched |= services.keys()
        self.carriers = carriers
        for service in touched:
            self._hosts.pop(service, None)
            self._claims.pop(service, None)
        if came or gone:
            self._meanings.clear()
        replaced = tuple((before.get(service), services.get(service)) for service in (*changed, *gone))
        return Change(touched, frozenset(keys), frozenset(reclaimed), frozenset((*came, *gone)), replaced)

    def resolve(self, name: str) -> str:
        """The service that a name means. Raises LookupError for one that means none, or several."""
        found = self._meanings.get(name)
        if found is None:
            # Only what means something is kept: of that there is no more than there are services and endings.
            found = self._meanings[name] = self._resolve(name)
        return found

    def claims(self, plan: ServicePlan) -> Claims:
        """What a service claims of hosts and addresses, and against whom."""
        found = self._claims.get(plan.id)
        if found is None:
            found = self._claims[plan.id] = self.domains.claims(plan)
        return found

    def clusters(self, plan: ServicePlan, mirror: bool = True) -> tuple[Resource, ...]:
        """Every cluster of a service: the same tuple until one of them changes."""
        if plan.closed:
            return ()
        if self._whole is not None and self._whole.services.get(plan.id) is plan:
            return self._whole.clusters(plan, mirror)
        known = self._clusters.get((plan.id, mirror))
        if known is not None and known.plan is plan:
            return known.built
        shape = (plan.protocol, plan.upstream, tuple(plan.targets), tuple(plan.versions))
        if known is not None and known.shape == shape:
            built = known.built
        else:
            built = tuple(resource(c.name, c) for c in clusters.clusters(plan, mirror))
        self._clusters[plan.id, mirror] = _Clusters(plan, shape, built)
        return built

    def host(self, plan: ServicePlan, proxy: bool, domains: tuple[str, ...]) -> Resource:
        """The service's own virtual host for these domains."""
        whole = self._whole
        if whole is not None and whole.services.get(plan.id) is plan and whole.carriers == self.carriers:
            return whole.host(plan, proxy, domains)
        known = self._hosts.setdefault(plan.id, {})
        found = known.get((proxy, domains))
        if found is None:
            built = outbound.virtual_host(plan, domains, proxy, self.carriers)
            found = known[proxy, domains] = resource(built.name, built)
        return found

    def shared_host(self, address: str, owners: tuple[str, ...], proxy: bool) -> Resource:
        """The virtual host of an ip:port that belongs to several services."""
        plans = [self.services[service] for service in owners]
        known = self._shared.get((address, proxy))
        if known is None or known[0] != plans:
            built = outbound.shared_address(plans, address, proxy, self.carriers)
            known = self._shared[address, proxy] = (plans, resource(built.name, built))
        return known[1]
