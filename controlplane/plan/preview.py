"""Who would serve a lane: per application of its group and service, as users read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.planner import Plan
from controlplane.plan.services import ServicePlan, target_of
from controlplane.registry.types import Health, Instance


def addresses(instances: Iterable[Instance]) -> list[str]:
    return [f"[{i.address}]:{i.port}" if ":" in i.address else f"{i.address}:{i.port}" for i in instances]


def reachable(instances: Iterable[Instance]) -> list[Instance]:
    return [i for i in instances if i.health is Health.HEALTHY or i.held]


def services_of(plan: Plan, application: str) -> list[ServicePlan]:
    """Services of an application, by canonical id."""
    return [p for _, p in sorted(plan.services.items()) if application in p.applications]


def _tagged(service: ServicePlan, lane: LaneMeaning) -> list[Instance]:
    target = target_of(service.applications, lane)
    return list(service.targets.get(target, ())) if target is not None else []


def matches(plan: Plan, lane: LaneMeaning, applications: Iterable[str]) -> dict[str, Any]:
    """The lane's instances in every service of its group: the body of GET .../matches."""
    listed: list[dict[str, Any]] = []
    for application in applications:
        services: list[dict[str, Any]] = []
        for service in services_of(plan, application):
            tagged = _tagged(service, lane)
            services.append(
                {
                    "service": service.id,
                    "tagged": addresses(tagged),
                    "base": len(service.base),
                    "fallback": not reachable(tagged),
                }
            )
        listed.append({"application": application, "services": services})
    return {"applications": listed}


def hops(plan: Plan, lane: LaneMeaning, applications: Iterable[str]) -> list[dict[str, Any]]:
    """Hop by hop over the group's applications: who would serve a request of this lane."""
    found: list[dict[str, Any]] = []
    for application in applications:
        for service in services_of(plan, application):
            tagged = reachable(_tagged(service, lane))
            target = target_of(service.applications, lane)
            strict = target is not None and target.strict
            serving = tagged if tagged or strict else reachable(service.base) or list(service.base)
            found.append(
                {
                    "application": application,
                    "service": service.id,
                    "tag": lane.tag if tagged else None,
                    "instances": addresses(serving),
                    "fallback": not tagged,
                }
            )
    return found


def base_hop(service: ServicePlan) -> list[dict[str, Any]]:
    serving = reachable(service.base) or list(service.base)
    return [
        {
            "application": service.applications[0],
            "service": service.id,
            "tag": None,
            "instances": addresses(serving),
            "fallback": False,
        }
    ]
