"""The status of objects of the Gateway API, as the specification asks for it. Pure.

What other controllers have written stays: parents of HTTPRoutes by `controllerName`, conditions by type.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from controlplane.gatewayapi.judging import GatewaySaid, Parent
from controlplane.gatewayapi.objects import CONTROLLER, GROUP, Json, Record, Said

MESSAGE_LIMIT = 4096
"""Characters of a message of a condition; the API server takes 32,768."""


def _conditions(
    wanted: Iterable[Said], before: object, generation: int, now: float, keep: bool = False
) -> list[Json]:
    """keep: conditions of other types stay."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {one["type"]: one for one in _objects(before) if isinstance(one.get("type"), str)}
    made: dict[str, Json] = {}
    for said in wanted:
        state = "True" if said.status else "False"
        old = known.get(said.type, {})
        since = old.get("lastTransitionTime") if old.get("status") == state else None
        made[said.type] = {
            "type": said.type,
            "status": state,
            "reason": said.reason,
            "message": said.message[:MESSAGE_LIMIT],
            "observedGeneration": generation,
            "lastTransitionTime": since or at,
        }
    others = [one for name, one in known.items() if name not in made] if keep else []
    return [*made.values(), *others]


def _objects(value: object) -> list[dict[str, Any]]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]


def route_status(route: Record, parents: Iterable[Parent], now: float) -> Json | None:
    """The status of an HTTPRoute; None where it has none and needs none."""
    before = _objects(route.status.get("parents"))
    mine = [one for one in before if one.get("controllerName") == CONTROLLER]
    made: list[Json] = []
    for parent in parents:
        old = next((one for one in mine if one.get("parentRef") == parent.reference), {})
        conditions = _conditions(parent.conditions, old.get("conditions"), route.generation, now)
        made.append({"parentRef": parent.reference, "controllerName": CONTROLLER, "conditions": conditions})
    if not made and not mine:
        return None
    return {"parents": [*(one for one in before if one.get("controllerName") != CONTROLLER), *made]}


def gateway_status(gateway: Record, said: GatewaySaid, now: float) -> Json:
    """Conditions and listeners of a Gateway. Its addresses are left to whoever makes the edges' Service."""
    known = {one.get("name"): one for one in _objects(gateway.status.get("listeners"))}
    conditions = _conditions(
        said.conditions, gateway.status.get("conditions"), gateway.generation, now, keep=True
    )
    return {
        "conditions": conditions,
        "listeners": [
            {
                "name": one.name,
                "attachedRoutes": one.attached,
                "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}] if one.kinds else [],
                "conditions": _conditions(
                    one.conditions,
                    known.get(one.name, {}).get("conditions"),
                    gateway.generation,
                    now,
                ),
            }
            for one in said.listeners
        ],
    }


def class_status(found: Record, now: float) -> Json:
    """A GatewayClass of Laneway is accepted."""
    accepted = [Said("Accepted", True, "Accepted")]
    before = found.status.get("conditions")
    return {"conditions": _conditions(accepted, before, found.generation, now, keep=True)}
