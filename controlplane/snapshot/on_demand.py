"""Sends a sidecar each service when it first calls it, for scopes that are too large to be sent at once.

Envoy asks for `<route configuration>/<host>` (VHDS) and holds the request meanwhile. The answer is the
virtual host of the service, after its clusters and their endpoints. For a host without a service the answer
is empty, and Envoy passes the request through. A sidecar keeps what it got: it is told about every change,
and about a service that appears at a host that it asked for. A client that reconnects lists what it has; that
is loaded before it is answered, so the restart of a control plane removes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.snapshot.everything import ServiceClusters
from controlplane.snapshot.index import Index
from controlplane.snapshot.mesh import resource
from controlplane.snapshot.scope import Scope
from controlplane.translate import outbound
from controlplane.translate.domains import key_of
from controlplane.translate.names import service_of_cluster
from controlplane.xds.resource import CLUSTER, VIRTUAL_HOST, Resource
from controlplane.xds.resources import Collection

MOST_ASKED = 10_000
"""Most hosts of one sidecar that are remembered although no service has them; it is not told later about
more.
"""
_MOST_SPELLINGS = 16
"""Most names by which one host may be asked for: Envoy asks in lower case, with or without a port."""


class OnDemand:
    """What one sidecar has asked for. `hosts` and the collection `clusters` belong to it alone."""

    def __init__(self, scope: Scope, proxy: bool, clusters: Collection) -> None:
        self._scope = scope
        self._proxy = proxy
        passing = outbound.elsewhere(proxy, asked_first=True)
        self.hosts = Collection(clusters.clock, VIRTUAL_HOST, [resource(passing.name, passing)])
        self._loaded = ServiceClusters(clusters)
        self._names: dict[str, set[str]] = {}  # key -> the names under which Envoy asked for it
        self._owners: dict[str, tuple[str, ...]] = {}  # key -> the services that it means, if any
        self._keys: Index[str, str] = Index()  # service -> the keys that it alone was asked for by
        self._shared: Index[str, str] = Index()  # service -> the keys that mean it and others

    def wanted(self, type_url: str, names: Iterable[str]) -> None:
        """The client asks for these resources or says that it has them."""
        if type_url == CLUSTER:
            for service in {service_of_cluster(name) for name in names}:
                if service is not None:
                    self._load(service)
        elif type_url == VIRTUAL_HOST:
            for name in names:
                subject = outbound.named_subject(self._proxy, name)
                if "%2F" in name:  # The client has this resource; no host is written like that.
                    self._load(subject)
                elif subject not in (outbound.ELSEWHERE, "*"):
                    host = subject.lower()
                    self._ask(host if self._scope.owners(host) else key_of(host), name)

    def resolve(self, key: str) -> None:
        """`key`, which was asked for, may mean another service than before."""
        before, owners = self._owners.get(key, ()), self._scope.owners(key)
        for service in before:
            (self._keys if len(before) == 1 else self._shared).discard(service, key)
        for service in owners:
            (self._keys if len(owners) == 1 else self._shared).add(service, key)
        if owners:
            self._owners[key] = owners
        else:
            self._owners.pop(key, None)
        for service in {*before, *owners}:
            if service in self._loaded:
                self._put_host(service)
            elif service in owners:
                self._load(service)
        if len(owners) > 1:
            self._put_shared(key)
        elif len(before) > 1:
            self.hosts.remove(outbound.shared_name(self._proxy, key))

    def refresh(self, service: str) -> None:
        """A loaded service has changed or was removed."""
        plan = self._scope.plan(service)
        if plan is None:
            self._scope.loaded.discard(service, self)
            self._loaded.put(service, ())
        else:
            self._loaded.put(service, self._scope.mesh.clusters(plan))
        self._put_host(service)
        for key in self._shared.of(service):
            self._put_shared(key)

    def close(self) -> None:
        """The stream has ended."""
        for key in self._names:
            self._scope.asked.discard(key, self)
        for service in self._loaded:
            self._scope.loaded.discard(service, self)

    def _ask(self, key: str, name: str) -> None:
        if key not in self._names and len(self._names) >= MOST_ASKED and not self._scope.owners(key):
            return
        known = self._names.setdefault(key, set())
        if len(known) >= _MOST_SPELLINGS:
            return
        known.add(name)
        self._scope.asked.add(key, self)
        self.resolve(key)

    def _load(self, service: str) -> None:
        plan = self._scope.plan(service)
        if plan is None or service in self._loaded:
            return
        self._scope.loaded.add(service, self)
        self._loaded.put(service, self._scope.mesh.clusters(plan))
        self._put_host(service)

    def _put_host(self, service: str) -> None:
        plan = self._scope.plan(service)
        domains = self._scope.domains(plan) if plan is not None else ()
        if plan is None or not domains:
            self.hosts.remove(outbound.host_name(self._proxy, service))
            return
        names = {name for key in self._keys.of(service) for name in self._names[key]}
        self.hosts.put(_asked(self._scope.mesh.host(plan, self._proxy, domains), names))

    def _put_shared(self, key: str) -> None:
        owners = self._scope.owners(key)
        if len(owners) > 1:
            host = self._scope.mesh.shared_host(key, owners, self._proxy)
            self.hosts.put(_asked(host, self._names[key]))


def _asked(host: Resource, names: set[str]) -> Resource:
    """`host` as the answer to those who asked for `names`."""
    aliases = tuple(sorted(names - {host.name}))
    return Resource(host.name, host.body, host.version, aliases) if aliases else host
