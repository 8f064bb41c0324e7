"""Definitions + services + what is deployed -> the routing plan, memoised on immutable inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controlplane.model.definitions import Definitions
from controlplane.plan.base import Base
from controlplane.plan.callers import Callers, callers
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.lanes import LaneMeaning, meaning_of
from controlplane.plan.observing import Observing, observing
from controlplane.plan.rollout import Deployed
from controlplane.plan.services import Promoted, ServicePlan, applications_of, plan_service
from controlplane.plan.upstream import DEFAULT, Upstream, upstreams
from controlplane.registry.grpc_ports import grpc_service_id
from controlplane.registry.types import Service, Services

Resolve = Callable[[str], str]
"""Service name as users write it -> canonical id. Raises LookupError with a text for users."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where requests to every service and gateway go. All keys are canonical ids or names.

    `lanes`: those that proxies know. `upstreams`: the applications that differ from the default.
    """

    services: Mapping[str, ServicePlan] = field(default_factory=dict[str, ServicePlan])
    gateways: Mapping[str, GatewayPlan] = field(default_factory=dict[str, GatewayPlan])
    lanes: Mapping[str, LaneMeaning] = field(default_factory=dict[str, LaneMeaning])
    upstreams: Mapping[str, Upstream] = field(default_factory=dict[str, Upstream])
    observing: Mapping[str, Observing] = field(default_factory=dict[str, Observing])
    """What sidecars write down, by application."""
    callers: Callers = field(default_factory=Callers)
    base: Base = field(default_factory=Base)
    """What base means to calls that no edge has coloured."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    service: Service
    override: str | None
    upstream: Upstream
    defined: tuple[LaneMeaning, ...]
    known: tuple[LaneMeaning, ...]
    promoted: Promoted = ()
    versions: tuple[tuple[str, Promoted], ...] = ()


class _Lanes:
    """Lanes by application. A lane that stays as it was is the same object, so that comparing is cheap."""

    def __init__(self) -> None:
        self._lanes: dict[str, LaneMeaning] = {}
        self._by_application: dict[str, tuple[LaneMeaning, ...]] = {}

    def update(self, lanes: Iterable[LaneMeaning]) -> set[str]:
        """Take the lanes that there are now. Returns the applications that others apply to than before."""
        kept = self._lanes
        now = {lane.name: kept[lane.name] if kept.get(lane.name) == lane else lane for lane in lanes}
        found: dict[str, list[LaneMeaning]] = {}
        for lane in now.values():
            for application in lane.applications:
                found.setdefault(application, []).append(lane)
        before = self._by_application
        self._lanes = now
        self._by_application = {application: tuple(lanes) for application, lanes in found.items()}
        return _differing(before, self._by_application)

    def of(self, applications: tuple[str, ...]) -> tuple[LaneMeaning, ...]:
        """The lanes that apply to a service of these applications."""
        if len(applications) == 1:
            return self._by_application.get(applications[0], ())
        found = (lane for a in applications for lane in self._by_application.get(a, ()))
        return tuple(dict.fromkeys(found))


class Planner:
    """Keeps the plans whose inputs did not change, so that the cost of a change is that of what it concerns.

    Of a service that a change does not concern, only the identity of its inputs is compared.
    """

    def __init__(self) -> None:
        self._services: Services = {}
        self._inputs: dict[str, _Inputs] = {}
        self._plans: dict[str, ServicePlan] = {}
        self._gateways: dict[str, GatewayPlan] = {}
        self._definitions: Definitions | None = None
        self._deployed = Deployed()
        self._overrides: dict[str, str] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._observing: dict[str, Observing] = {}
        self._callers = Callers()
        self._defined = _Lanes()
        self._known = _Lanes()
        self._members: dict[str, set[str]] = {}  # application -> its services

    def plan(
        self, definitions: Definitions, deployed: Deployed, services: Services, resolve: Resolve
    ) -> Plan:
        """The plan of everything. A service whose inputs did not change keeps the identical ServicePlan
        object.
        """
        before, self._services = self._services, services
        gone = [service for service in before if service not in services]
        changed = {id_ for id_, service in services.items() if before.get(id_) is not service}
        renamed = bool(gone) or any(
            service not in before or before[service].aliases != services[service].aliases
            for service in changed
        )
        redefined = definitions is not self._definitions
        applications: set[str] = set()
        if deployed.known is not self._deployed.known:
            applications |= self._known.update(deployed.known.values())
        applications |= _rebased(self._deployed, deployed)
        if redefined:
            self._callers = callers(definitions)
            defined = upstreams(definitions)
            applications |= _differing(self._upstreams, defined)
            applications |= self._defined.update(meaning_of(definitions, name) for name in definitions.lanes)
            self._upstreams = defined
            now = observing(definitions)
            if now != self._observing:
                self._observing = now
        if redefined or renamed:
            decided = overrides(definitions, resolve)
            changed |= _differing(self._overrides, decided) & services.keys()
            self._overrides = decided
        if redefined or renamed or deployed.edges() != self._deployed.edges():
            self._gateways = {
                name: plan_gateway(gateway, definitions, deployed.coloured, resolve, deployed.colour)
                for name, gateway in definitions.gateways.items()
            }
        self._definitions, self._deployed = definitions, deployed
        for application in applications:
            changed |= self._members.get(application, set())
        self._update(changed.difference(gone), gone)
        known, base = deployed.known, deployed.base
        return Plan(self._plans, self._gateways, known, self._upstreams, self._observing, self._callers, base)

    def _update(self, changed: Iterable[str], gone: Iterable[str]) -> None:
        plans = dict(self._plans)
        for service in gone:
            self._leave(plans.pop(service))
            del self._inputs[service]
        for service in changed:
            inputs = self._inputs_of(self._services[service])
            if self._inputs.get(service) == inputs:
                continue
            self._inputs[service] = inputs
            if service in plans:
                self._leave(plans[service])
            plan = plans[service] = plan_service(
                inputs.service,
                inputs.override,
                inputs.defined,
                inputs.known,
                inputs.upstream,
                inputs.promoted,
                inputs.versions,
            )
            for application in plan.applications:
                self._members.setdefault(application, set()).add(service)
        self._plans = plans

    def _inputs_of(self, service: Service) -> _Inputs:
        override = self._overrides.get(service.id)
        applications = applications_of(service, override)
        upstream = next((self._upstreams[a] for a in applications if a in self._upstreams), DEFAULT)
        meanings = {"": self._deployed.base, **self._deployed.versions}
        promoted = {name: base.within(applications) for name, base in meanings.items()}
        concerned = any(promoted.values())
        return _Inputs(
            service,
            override,
            upstream,
            self._defined.of(applications),
            self._known.of(applications),
            promoted.pop(""),
            tuple(promoted.items()) if concerned else (),
        )

    def _leave(self, plan: ServicePlan) -> None:
        for application in plan.applications:
            self._members[application].discard(plan.id)
            if not self._members[application]:
                del self._members[application]


def overrides(definitions: Definitions, resolve: Resolve) -> dict[str, str]:
    """The application of each service that a definition of kind Application names, by the service's canonical
    id.

    The service on the gRPC port of another belongs to the same application, unless a definition names it,
    too.
    """
    found: dict[str, str] = {}
    for application in sorted(definitions.applications.values(), key=lambda a: a.name):
        for name in application.services:
            try:
                found.setdefault(resolve(name), application.name)
            except LookupError:
                continue  # the registry may learn of it later
    for service, application in tuple(found.items()):
        with contextlib.suppress(LookupError):
            found.setdefault(resolve(grpc_service_id(service)), application)
    return found


def _rebased(before: Deployed, after: Deployed) -> set[str]:
    """The applications whose base means something else than before, or has another name."""
    if before.base is after.base and before.versions is after.versions:
        return set()
    either = (before.base, after.base, *before.versions.values(), *after.versions.values())
    return {application for base in either for application in base.tags}


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """The keys that have another value, or none, in one of the two."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
