"""Who may call which application: `callers` of the definitions of kind Application.

A caller is an application, or a gateway behind `gateway/`. What is closed to it, it is not told of: neither
clusters nor endpoints. An application may always call itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controlplane.model.definitions import Definitions
from controlplane.plan.base import BaseSet
from controlplane.plan.services import ServicePlan

STATUS = 403
REASON = "caller-not-allowed"
"""The value of x-laneway-reason with which a proxy answers a call that is not allowed."""


def gateway_caller(gateway: str) -> str:
    """The gateway as a caller."""
    return f"gateway/{gateway}"


@dataclass(frozen=True, slots=True)
class Callers:
    """`allowed`: by application who may call it; an application that is not there may be called by all."""

    allowed: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])

    def closed_to(self, caller: str) -> frozenset[str]:
        """The applications that a caller may not call."""
        if not self.allowed:
            return frozenset()
        return frozenset(a for a, those in self.allowed.items() if caller != a and caller not in those)

    def of(self, plan: ServicePlan) -> frozenset[str] | None:
        """Who may call a service, besides its own application; None: everybody."""
        found: frozenset[str] | None = None
        for one in plan.applications:
            those = self.allowed.get(one)
            if those is not None:
                found = those if found is None else found & those
        return found


def callers(definitions: Definitions) -> Callers:
    """Who may call which application."""
    every = definitions.applications.values()
    return Callers({a.name: frozenset(a.callers) for a in every if a.callers is not None})


def closed_by(plan: ServicePlan, closed: frozenset[str]) -> str:
    """Of a service's applications the first that is closed; empty if none is. One is enough: any of them may
    get the call.
    """
    return next((one for one in plan.applications if one in closed), "") if closed else ""


def as_told(plan: ServicePlan, closed: frozenset[str]) -> ServicePlan:
    """The service as somebody is told of it to whom these applications are closed: whole, or by its name."""
    by = closed_by(plan, closed)
    if not by:
        return plan
    nothing = BaseSet()
    return replace(plan, base=nothing, targets={}, lanes={}, addresses=(), former=(), closed=by, versions={})


def problem(plan: ServicePlan) -> str:
    """The body of the answer to a call of a service that is closed to its caller (RFC 9457)."""
    detail = (
        f"Application {plan.closed} of service {plan.id} does not name the caller in `callers`. "
        "Whoever owns the application can add it there."
    )
    found = {"type": "about:blank", "title": "Caller not allowed", "status": STATUS, "detail": detail}
    return json.dumps(found)
