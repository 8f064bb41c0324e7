"""What was decided, and who would serve a lane per application of its group and service, as users read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.model.documents import Condition
from controlplane.plan.evaluate import ConditionOutcome, LaneOutcome
from controlplane.plan.lanes import LaneMeaning
from controlplane.plan.planner import Plan
from controlplane.plan.services import ServicePlan, target_of
from controlplane.registry.types import Health, Instance

VALUE_BYTES = 256
"""Of one value that an answer shows; what is longer is cut, and its length said."""
LIST_BYTES = 1024
"""Of the list of a condition with `in`."""
LINES = 2000
"""Lanes and conditions that one answer shows."""


def evaluated(outcomes: Sequence[LaneOutcome]) -> tuple[list[dict[str, Any]], int]:
    """Why each lane was chosen or passed over, and how many more lanes were looked at than are listed.

    The last one is always listed: it is the one that was chosen, if any was.
    """
    *passed, last = outcomes or (None,)
    if last is None:
        return [], 0
    listed: list[dict[str, Any]] = []
    left = LINES - len(last.conditions)
    for outcome in passed:
        left -= 1 + len(outcome.conditions)
        if left <= 0:
            break
        listed.append(_outcome(outcome))
    return [*listed, _outcome(last)], len(passed) - len(listed)


def _outcome(outcome: LaneOutcome) -> dict[str, Any]:
    conditions = [_condition(one) for one in outcome.conditions]
    return {"lane": outcome.lane, "matched": outcome.matched, "conditions": conditions}


def _condition(outcome: ConditionOutcome) -> dict[str, Any]:
    value = outcome.value
    text = None if value is None else value[:VALUE_BYTES].decode(errors="backslashreplace")
    shown = {"condition": _shown(outcome.condition), "value": text, "met": outcome.met}
    if value is not None and len(value) > VALUE_BYTES:
        shown |= {"value": f"{text}…", "length": len(value)}
    return shown


def _shown(condition: Condition) -> dict[str, Any]:
    value = condition.value
    shown = {"source": condition.source, "name": condition.name, "operator": condition.operator}
    if isinstance(value, str) and len(value) > VALUE_BYTES:
        return shown | {"value": f"{value[:VALUE_BYTES]}…", "length": len(value)}
    if not isinstance(value, tuple):
        return shown | {"value": value}
    some: list[str] = []
    room = LIST_BYTES
    for one in value:
        room -= len(one)
        if room < 0:
            break
        some.append(one)
    left = len(value) - len(some)
    return shown | {"value": some} | ({"left_out": left} if left else {})


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
