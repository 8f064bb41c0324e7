"""The services that sidecars may call: a scope for each set of names in `calls`, and one with all services.

Sidecars with the same `calls` share a scope. A small scope is sent at once (see `everything`), a large one
service by service (see `on_demand`).
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol

import structlog

from controlplane.plan.services import ServicePlan
from controlplane.registry.names import last_part
from controlplane.snapshot.everything import Everything
from controlplane.snapshot.index import Index
from controlplane.snapshot.mesh import Change, Mesh
from controlplane.translate.domains import Claims, keys_of

log = structlog.get_logger(__name__)

MOST_NAMES = 400_000
"""Names in `calls` of all connected sidecars, equal sets counted once: some 200 MiB."""


class Follower(Protocol):
    """A sidecar that is told only about services that it asked for."""

    def resolve(self, key: str) -> None:
        """A host or address that it asked for may mean another service than before."""

    def refresh(self, service: str) -> None:
        """A service that it has was replaced or removed."""


class _All(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


class Scope:
    """The services that `calls` names (None: all services), and the resources built from them for all
    sidecars.
    """

    def __init__(self, mesh: Mesh, calls: frozenset[str] | None) -> None:
        self.mesh = mesh
        self.calls = calls
        self.users = 0
        self.members: frozenset[str] | None = None if calls is None else self._resolved(calls)
        self.asked: Index[str, Follower] = Index()
        """The sidecars that asked for a host or an address, with or without a service."""
        self.loaded: Index[str, Follower] = Index()
        """The sidecars that have the clusters and the virtual host of a service."""
        self._everything: dict[bool, Everything] = {}
        self._domains: dict[str, tuple[str, ...]] = {}
        self._size: int | None = None

    def plan(self, service: str) -> ServicePlan | None:
        """The plan of a service, if it is in the scope."""
        if self.members is not None and service not in self.members:
            return None
        return self.mesh.services.get(service)

    def size(self) -> int:
        """The number of clusters of all services in the scope."""
        if self._size is None:
            self._size = sum(1 + 2 * len(plan.targets) for plan in self._plans())
        return self._size

    def domains(self, plan: ServicePlan) -> tuple[str, ...]:
        """The domains of the service's own virtual host; only rivals in the scope take domains from it."""
        claims = self.mesh.claims(plan)
        if self._alone(claims):
            return claims.domains
        found = self._domains.get(plan.id)
        if found is None:
            found = self._domains[plan.id] = self.mesh.domains.of(plan, self._among())
        return found

    def owners(self, key: str) -> tuple[str, ...]:
        """The services of the scope that a host or an address means."""
        return self.mesh.domains.owners(key, self._among())

    def everything(self, proxy: bool) -> Everything:
        """All resources of the scope for one kind of capture; built when first needed."""
        found = self._everything.get(proxy)
        if found is None:
            found = self._everything[proxy] = Everything(self, self.mesh, proxy, list(self._plans()))
        return found

    def left(self) -> None:
        """No sidecar has the scope any more: forget what was built for it."""
        self._everything.clear()
        self._domains.clear()

    def rename(self) -> frozenset[str]:
        """Resolve the names again. Returns the services that came into the scope or left it."""
        if self.calls is None or self.members is None:
            return frozenset()
        before, self.members = self.members, self._resolved(self.calls)
        return before ^ self.members

    def update(self, change: Change, moved: frozenset[str]) -> None:
        """Update for a change of the mesh; `moved` services came into the scope or left it."""
        touched, keys, reclaimed = change.touched, change.keys, change.reclaimed
        if self.members is not None:
            keys = keys.union(*(keys_of(self.mesh.services.get(service)) for service in moved))
            if moved:
                reclaimed = reclaimed | moved | self.mesh.domains.claimants(keys)
            touched = moved | ((touched | reclaimed) & self.members)
        self._size = None
        for service in touched & reclaimed:
            self._domains.pop(service, None)
        for everything in self._everything.values():
            everything.update(touched, keys)
        for key in keys if self.asked else ():
            for sidecar in self.asked.of(key):
                sidecar.resolve(key)
        for service in touched if self.loaded else ():
            for sidecar in self.loaded.of(service):
                sidecar.refresh(service)

    def _plans(self) -> Iterable[ServicePlan]:
        services = self.mesh.services
        if self.members is None:
            return services.values()
        return (services[service] for service in self.members if service in services)

    def _alone(self, claims: Claims) -> bool:
        """Whether no rival is in the scope."""
        return not claims.rivals if self.members is None else claims.rivals.isdisjoint(self.members)

    def _among(self) -> Container[str]:
        return _All() if self.members is None else self.members

    def _resolved(self, calls: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        for name in calls:
            try:
                found.add(self.mesh.resolve(name))
            except LookupError:
                continue  # no such service yet, or several; treated as unknown until a source has exactly one
        return frozenset(found)


class Scopes:
    """Every scope that some sidecar has. A change goes only to the scopes that it concerns."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._all = Scope(mesh, None)
        self._named: dict[frozenset[str], Scope] = {}
        self._by_member: Index[str, Scope] = Index()
        self._by_name: Index[str, Scope] = Index()
        self._names = 0  # in `calls` of all scopes
        self._full = False

    def enter(self, calls: frozenset[str] | None) -> Scope:
        """The scope of a sidecar that connects; it must `leave` it. If all scopes together have `MOST_NAMES`,
        that is the scope of the sidecars that may call everything, which exists once.
        """
        scope = self._all if calls is None else self._named.get(calls) or self._made(calls)
        scope.users += 1
        return scope

    def _made(self, calls: frozenset[str]) -> Scope:
        if self._names + len(calls) > MOST_NAMES:
            if not self._full:
                self._full = True
                log.warning(
                    "sidecars name too many services in calls; further ones are served as if without calls",
                    names=self._names,
                    scopes=len(self._named),
                )
            return self._all
        self._names += len(calls)
        scope = self._named[calls] = Scope(self._mesh, calls)
        self._enlist(scope)
        return scope

    def leave(self, scope: Scope) -> None:
        """A sidecar's stream has ended."""
        scope.users -= 1
        if scope.users:
            return
        scope.left()
        if scope.calls is not None:
            del self._named[scope.calls]
            self._names -= len(scope.calls)
            self._full = self._full and 2 * self._names > MOST_NAMES
            for name in scope.calls:
                self._by_name.discard(last_part(name), scope)
            for service in scope.members or ():
                self._by_member.discard(service, scope)

    def publish(self, change: Change) -> None:
        """The mesh has changed."""
        moved: dict[Scope, frozenset[str]] = {}
        for scope in self._by_name.any_of({last_part(service) for service in change.came_or_went}):
            moved[scope] = scope.rename()
            for service in moved[scope]:
                if service in (scope.members or ()):
                    self._by_member.add(service, scope)
                else:
                    self._by_member.discard(service, scope)
        for scope in {*moved, *self._by_member.any_of(change.touched)}:
            scope.update(change, moved.get(scope, frozenset()))
        if change.touched:
            self._all.update(change, frozenset())

    def _enlist(self, scope: Scope) -> None:
        for name in scope.calls or ():
            self._by_name.add(last_part(name), scope)
        for service in scope.members or ():
            self._by_member.add(service, scope)
