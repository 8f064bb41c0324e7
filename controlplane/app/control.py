"""What the admin API sees of the running control plane."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from controlplane.model.definitions import Definitions
from controlplane.plan.evaluate import Decision, decide
from controlplane.plan.lanes import enabled_lanes, meaning_of
from controlplane.plan.planner import Plan, Planner
from controlplane.plan.preview import base_hop, evaluated, hops, matches
from controlplane.plan.request import Request, normalised_path, removed_headers
from controlplane.plan.rollout import Deployed
from controlplane.registry.types import Services
from controlplane.snapshot.view import NodeView
from controlplane.xds.resources import CLUSTER, ENDPOINT, EXTENSION_CONFIG, LISTENER, ROUTE, VIRTUAL_HOST
from controlplane.xds.server import ConnectedProxy, TypeState
from controlplane.xds.status import ResourceStatus
from controlplane.xds.subscription import Nack
from controlplane.xds.trial import Held

TYPE_NAMES = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
    EXTENSION_CONFIG: "extension",
    VIRTUAL_HOST: "virtual_host",
}


def defined_plan(definitions: Definitions, services: Services, resolve: Callable[[str], str]) -> Plan:
    """The plan as it is once every lane has been rolled out: what explain and matches speak of."""
    known = enabled_lanes(definitions)
    return Planner().plan(definitions, Deployed(known, frozenset(known)), services, resolve)


def explain(definitions: Definitions, plan: Plan, gateway: str, request: Request) -> dict[str, Any]:
    """The body of POST /v1/explain. Raises KeyError for an unknown gateway."""
    decision = decide(plan.gateways[gateway], request)
    listed, left_out = evaluated(decision.evaluated)
    answer: dict[str, Any] = {
        "route": decision.route.name if decision.route else None,
        "lane": decision.lane,
        "reason": decision.reason,
        "path": normalised_path(request.path),
        "removed_headers": removed_headers(plan.gateways[gateway], request),
        "evaluated": listed,
        "hops": _hops(definitions, plan, decision),
    }
    if left_out:
        answer["evaluated_left_out"] = left_out
    if decision.candidates:
        answer["candidates"] = [{"lane": lane, "share": share} for lane, share in decision.candidates]
    return answer


def _hops(definitions: Definitions, plan: Plan, decision: Decision) -> list[dict[str, Any]]:
    if decision.lane is not None:
        group = definitions.groups[definitions.lanes[decision.lane].group]
        return hops(plan, meaning_of(definitions, decision.lane), group.applications)
    service = plan.services.get(decision.route.service or "") if decision.route else None
    return base_hop(service) if service is not None else []


def lane_matches(definitions: Definitions, plan: Plan, lane: str) -> dict[str, Any]:
    """The body of GET .../lanes/{lane}/matches. Raises KeyError for an unknown lane."""
    group = definitions.groups[definitions.lanes[lane].group]
    return matches(plan, meaning_of(definitions, lane), group.applications)


def _nack(nack: Nack | None) -> dict[str, Any] | None:
    if nack is None:
        return None
    at = datetime.fromtimestamp(nack.at, UTC).isoformat()
    return {"version": nack.version, "message": nack.message, "at": at}


def _type(state: TypeState) -> dict[str, Any]:
    return {"sent": state.sent, "acked": state.acked, "nack": _nack(state.nack)}


def _drift(found: ResourceStatus) -> dict[str, Any]:
    return {
        "type": TYPE_NAMES.get(found.type_url, found.type_url),
        "name": found.name,
        "version": found.version,
        "state": found.state,
        "nack": _nack(found.nack),
    }


def _held(held: Held) -> dict[str, Any]:
    return {
        "type": TYPE_NAMES.get(held.type_url, held.type_url),
        "name": held.resource.name,
        "version": held.resource.version,
        "node": held.node,
        "nack": _nack(held.nack),
    }


def proxy(connected: ConnectedProxy) -> dict[str, Any]:
    """One entry of GET /v1/proxies."""
    view = connected.view
    types = {TYPE_NAMES.get(url, url): _type(state) for url, state in connected.types.items()}
    for name in ("cluster", "endpoint", "listener", "route"):
        types.setdefault(name, {"sent": "", "acked": "", "nack": None})
    item = {
        "node": connected.id,
        "cluster": connected.cluster,
        "role": view.node.role if isinstance(view, NodeView) else "",
        "envoy": connected.version,
        "variant": connected.variant,
        "connected": datetime.fromtimestamp(connected.connected, UTC).isoformat(),
        "types": types,
        "held": [_held(one) for one in connected.held],
        "warnings": view.warnings() if isinstance(view, NodeView) else [],
    }
    if connected.drift is not None:
        item["drift"] = [_drift(found) for found in connected.drift]
    return item
