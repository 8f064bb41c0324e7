"""A sidecar that gets a service when it first calls it, for reaches that are too large to be sent at once.

Envoy asks for `<route configuration>/<host>` (VHDS) and holds the request meanwhile. The answer is the
virtual host of the service, after its clusters and their endpoints; a host that means no service is answered
without one, and passes. What a sidecar has got stays with it: it is told of every change, and of a service
that comes to one of the hosts it asked for. A client that comes back says what it has: that is loaded before
it is answered, so a control plane that restarts takes nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.plan.services import ServicePlan
from controlplane.snapshot.mesh import resource
from controlplane.snapshot.reach import Reach, put_clusters
from controlplane.translate import outbound
from controlplane.translate.domains import key_of
from controlplane.translate.names import service_of_cluster
from controlplane.xds.resources import CLUSTER, VIRTUAL_HOST, Collection, Resource

MOST_ASKED = 10_000
"""Hosts that are remembered of one sidecar; of further ones that mean no service it is not told later."""


class OnDemand:
    """What one sidecar has asked for. `clusters` and `hosts` are its alone."""

    def __init__(self, reach: Reach, proxy: bool, clusters: Collection) -> None:
        self._reach = reach
        self._proxy = proxy
        self.clusters = clusters
        passing = outbound.elsewhere(proxy, asked_first=True)
        self.hosts = Collection(VIRTUAL_HOST, [resource(passing.name, passing)])
        self._names: dict[str, set[str]] = {}  # key -> the names under which Envoy asked for it
        self._owners: dict[str, tuple[str, ...]] = {}
        self._keys: dict[str, set[str]] = {}  # service -> the keys that it was asked for by
        self._shared: set[str] = set()  # the keys that mean several services
        self._clusters: dict[str, tuple[Resource, ...]] = {}

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        """The client asks for these resources or says that it has them."""
        if type_url == CLUSTER:
            for service in {service_of_cluster(name) for name in names}:
                if service is not None:
                    self._load(service)
        elif type_url == VIRTUAL_HOST:
            for name in names:
                subject = outbound.named_subject(self._proxy, name)
                if "%2F" in name:  # one that the client has: no host is written like that
                    self._load(subject)
                elif subject not in (outbound.ELSEWHERE, "*"):
                    self._ask(key_of(subject.lower()), name)

    def resolve(self, key: str) -> None:
        """`key`, which was asked for, may mean another service than before."""
        owners = self._reach.owners(key)
        before = self._owners.get(key, ())
        self._owners[key] = owners
        if len(before) == 1 and before != owners:
            self._keys.get(before[0], set()).discard(key)
            self.refresh(before[0])
        for service in owners:
            self._load(service)
        if len(owners) == 1:
            self._keys.setdefault(owners[0], set()).add(key)
            self._put_host(owners[0])
        if len(owners) > 1:
            self._shared.add(key)
            self._put_shared(key)
        elif len(before) > 1:
            self._shared.discard(key)
            self.hosts.remove(outbound.shared_name(self._proxy, key))

    def refresh(self, service: str) -> None:
        """A service that was loaded has changed, or has gone."""
        if service not in self._clusters:
            return
        plan = self._plan(service)
        if plan is None:
            self._reach.loaded[service].discard(self)
            put_clusters(self.clusters, self._clusters, service, ())
            self.hosts.remove(outbound.host_name(self._proxy, service))
            return
        put_clusters(self.clusters, self._clusters, service, self._reach.mesh.clusters(plan))
        self._put_host(service)
        for key in self._shared:
            if service in self._owners[key]:
                self._put_shared(key)

    def close(self) -> None:
        """The stream has ended."""
        for index, names in ((self._reach.asked, self._names), (self._reach.loaded, self._clusters)):
            for name in names:
                index[name].discard(self)
                if not index[name]:
                    del index[name]

    def _ask(self, key: str, name: str) -> None:
        if key not in self._names and len(self._names) >= MOST_ASKED and not self._reach.owners(key):
            return
        self._names.setdefault(key, set()).add(name)
        self._reach.asked.setdefault(key, set()).add(self)
        self.resolve(key)

    def _load(self, service: str) -> None:
        plan = self._plan(service)
        if plan is None or service in self._clusters:
            return
        self._reach.loaded.setdefault(service, set()).add(self)
        put_clusters(self.clusters, self._clusters, service, self._reach.mesh.clusters(plan))
        self._put_host(service)

    def _put_host(self, service: str) -> None:
        plan = self._plan(service)
        domains = self._reach.domains(plan) if plan is not None else ()
        if plan is None or not domains:
            self.hosts.remove(outbound.host_name(self._proxy, service))
            return
        names = {name for key in self._keys.get(service, ()) for name in self._names[key]}
        self.hosts.put(_asked(self._reach.mesh.host(plan, self._proxy, domains), names))

    def _put_shared(self, key: str) -> None:
        host = self._reach.mesh.shared_host(key, self._owners[key], self._proxy)
        self.hosts.put(_asked(host, self._names[key]))

    def _plan(self, service: str) -> ServicePlan | None:
        return self._reach.mesh.services.get(service) if service in self._reach.members else None


def _asked(host: Resource, names: set[str]) -> Resource:
    """`host` as the answer to those who asked for `names`."""
    aliases = tuple(sorted(names - {host.name}))
    return Resource(host.name, host.body, host.version, aliases) if aliases else host
