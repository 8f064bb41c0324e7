"""Definitions + services + what is deployed -> the routing plan, memoised on immutable inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controlplane.model.definitions import Definitions
from controlplane.model.documents import HealthCheck
from controlplane.plan.gateways import GatewayPlan, plan_gateway
from controlplane.plan.lanes import LaneMeaning, health_checks, meaning_of
from controlplane.plan.rollout import Deployed
from controlplane.plan.services import ServicePlan, applications_of, plan_service
from controlplane.registry.types import Service, Services

Resolve = Callable[[str], str]
"""Service name as users write it -> canonical id. Raises LookupError with a text for users."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where, for every service and gateway."""

    services: Mapping[str, ServicePlan] = field(default_factory=dict)
    gateways: Mapping[str, GatewayPlan] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Inputs:
    service: Service
    override: str | None
    health_check: HealthCheck | None
    defined: tuple[LaneMeaning, ...]
    known: tuple[LaneMeaning, ...]


def _by_application(lanes: Iterable[LaneMeaning]) -> dict[str, tuple[LaneMeaning, ...]]:
    found: dict[str, list[LaneMeaning]] = {}
    for lane in lanes:
        for application in lane.applications:
            found.setdefault(application, []).append(lane)
    return {application: tuple(lanes) for application, lanes in found.items()}


def _relevant(
    applications: tuple[str, ...], lanes: Mapping[str, tuple[LaneMeaning, ...]]
) -> tuple[LaneMeaning, ...]:
    if len(applications) == 1:
        return lanes.get(applications[0], ())
    return tuple(dict.fromkeys(lane for a in applications for lane in lanes.get(a, ())))


class Planner:
    """Keeps plans whose inputs did not change, so that a change costs what it touches."""

    def __init__(self) -> None:
        self._inputs: dict[str, _Inputs] = {}
        self._plans: dict[str, ServicePlan] = {}
        self._meanings: dict[str, LaneMeaning] = {}

    def plan(
        self, definitions: Definitions, deployed: Deployed, services: Services, resolve: Resolve
    ) -> Plan:
        """The plan for everything. Unchanged services keep the identical ServicePlan object."""
        defined = _by_application(self._intern(meaning_of(definitions, name)) for name in definitions.lanes)
        known = _by_application(deployed.known.values())
        overrides = self._overrides(definitions, resolve)
        checks = health_checks(definitions)
        for gone in self._plans.keys() - services.keys():
            del self._plans[gone], self._inputs[gone]
        for service_id, service in services.items():
            override = overrides.get(service_id)
            applications = applications_of(service, override)
            check = next((checks[a].health_check for a in applications if a in checks), None)
            inputs = _Inputs(
                service, override, check, _relevant(applications, defined), _relevant(applications, known)
            )
            if self._inputs.get(service_id) != inputs:
                self._inputs[service_id] = inputs
                self._plans[service_id] = plan_service(
                    service, override, inputs.defined, inputs.known, inputs.health_check
                )
        gateways = {
            name: plan_gateway(gateway, definitions, deployed.coloured, resolve)
            for name, gateway in definitions.gateways.items()
        }
        return Plan(dict(self._plans), gateways)

    def _intern(self, meaning: LaneMeaning) -> LaneMeaning:
        kept = self._meanings.get(meaning.name)
        if kept is not None and kept == meaning:
            return kept
        self._meanings[meaning.name] = meaning
        return meaning

    @staticmethod
    def _overrides(definitions: Definitions, resolve: Resolve) -> dict[str, str]:
        overrides: dict[str, str] = {}
        for application in sorted(definitions.applications.values(), key=lambda a: a.name):
            for name in application.services:
                try:
                    overrides.setdefault(resolve(name), application.name)
                except LookupError:
                    continue  # the registry may learn of it later
        return overrides
