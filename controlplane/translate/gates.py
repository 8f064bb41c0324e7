"""Which filters a request needs: the mere presence of a Lua filter costs more than everything that it does.

The first lookup of a request's route decides on its filters. Every filter is on unless that route says
otherwise. A request that Lua has to read first is led to a route that turns nothing off; Lua then sets
PHASE_HEADER, clears the route, and the next lookup finds where the request goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from google.protobuf import any_pb2

from controlplane.plan.gateways import GatewayPlan
from controlplane.translate import matching
from controlplane.translate.matching import Predicate
from controlplane.translate.messages import pack
from controlplane.translate.names import LANE_HEADER, LIFTED_PHASE, PHASE_HEADER

EDGE_REQUEST = "edge-request"
OUTBOUND_REQUEST = "outbound-request"
INBOUND_REQUEST = "inbound-request"
RECEIVE = "receive"
REPLY = "reply"
DRAWS = "draws"

ON_DEMAND = "on-demand"
ELSEWHERE_FILTER = "elsewhere"
FORWARD_PROXY_FILTER = "forward-proxy"

Carriers = Sequence[tuple[str, str]]
"""(header, baggage member) of every gateway; headers in lower case."""
Configured = route_components_pb2.Route | route_components_pb2.VirtualHost | route_pb2.RouteConfiguration


def turn_off(target: Configured, *filters: str) -> None:
    """Leave these filters out for requests whose first route is `target`."""
    for name in filters:
        target.typed_per_filter_config[name].CopyFrom(_off())


def _off() -> any_pb2.Any:
    return pack(route_components_pb2.FilterConfig(disabled=True))


def turn_on(target: Configured, *filters: str) -> None:
    """Have these Lua filters run although the route configuration turns them off."""
    for name in filters:
        target.typed_per_filter_config[name].CopyFrom(pack(lua_pb2.LuaPerRoute()))


def lifted() -> Predicate:
    """Lua has read the request."""
    return matching.equals(PHASE_HEADER, LIFTED_PHASE)


def lane_header(carriers: Carriers) -> str:
    """The header by which sidecars' routes know a lane: the carrier, or where there are several, Lua's."""
    return carriers[0][0] if len(carriers) == 1 else LANE_HEADER


def uncoloured(carriers: Carriers) -> Predicate:
    """Neither carrier is there."""
    names = ["baggage", *(header for header, _ in carriers)]
    return matching.negated(matching.any_of([matching.present(name) for name in names]))


def agreed(carriers: Carriers, lane: str) -> list[Predicate]:
    """The other carrier, beside a header that says `lane`, says nothing or the same and nothing else.

    Several lines look like one with several members, so these are left to Lua. Empty where there are several
    gateways' carriers.
    """
    if len(carriers) > 1:
        return []
    absent = matching.negated(matching.present("baggage"))
    return [matching.equals("baggage", f"{carriers[0][1]}={lane}"), absent]


def edge_reads(plan: GatewayPlan) -> Predicate | None:
    """Requests of which the edge's Lua has to read or change something; None for every request.

    These are requests with a carrier of lanes, several lines of cookies (joined by commas they arrive here),
    dot segments with parameters, and what the gateway's rules read that is no header.
    """
    needed = [matching.present(name) for name in _carriers(plan)]
    needed.append(matching.contains("cookie", ","))
    needed.append(matching.contains(":path", ".;"))
    sources = {c.source for c in plan.conditions()} - {"header"}
    if any(r.ratio and r.ratio.sticky and r.ratio.sticky.cookie for r in plan.routes):
        return None  # whoever has no cookie gets one
    if not sources <= {"query", "cookie"}:
        return None
    if "query" in sources or any(r.path.regex is not None for r in plan.routes):
        needed.append(matching.contains(":path", "?"))
    if "cookie" in sources:
        needed.append(matching.present("cookie"))
    return matching.any_of(needed)


def _carriers(plan: GatewayPlan) -> list[str]:
    headers = {header for header, _ in plan.foreign} | {plan.carriers.header.lower()}
    if plan.by_trace:
        headers.add("tracestate")
    return ["baggage", *sorted(headers)]
